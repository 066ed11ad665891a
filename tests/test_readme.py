"""What the README says of settings, commands and tools is what there is."""

import re
from pathlib import Path

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.settings import Settings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """The rows under a heading: what stands in backticks in the first column, and the rest of the row."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE))


def test_every_setting_is_listed_with_its_default() -> None:
    listed = table("Configuration")
    assert set(listed) == {f"MEMOS_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float | str):
            default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert listed[f"MEMOS_{name.upper()}"].startswith(f"`{default}`")


def test_every_tool_is_listed_with_its_parameters() -> None:
    listed = table("Tools")
    assert set(listed) == {tool.name for tool in TOOLS}
    for tool in TOOLS:
        named = set(re.findall(r"`(?:detail: )?(\w+)", listed[tool.name]))
        assert set(tool.input_schema["properties"]) - named == set()


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE))
    listed = {word for row in table("Commands") for word in row.split()[1:2] if word.isalpha()}
    assert commands == listed
