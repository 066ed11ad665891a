"""The documentation lists exactly the settings, commands, tools and make targets that exist."""

import re
from typing import Any

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.mcp_server.tool_definition import ToolDefinition
from memos_mcp.settings import Settings
from tests.docs.pages import ROOT, table

README = ROOT / "README.md"
DOCS = ROOT / "docs"
INTERNAL_OPTIONS = {"--ready"}
"""Options that only a bridge passes."""


def listed_default(name: str) -> str | None:
    default = Settings.model_fields[name].default
    if not isinstance(default, int | float | str):
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = table(DOCS / "configuration.md", "Configuration")
    assert set(listed) == {f"MEMOS_{name.upper()}" for name in Settings.model_fields}
    for name in Settings.model_fields:
        if (default := listed_default(name)) is not None:
            assert listed[f"MEMOS_{name.upper()}"].startswith(f"`{default}`")


def test_the_settings_of_the_readme_have_the_defaults_of_the_full_list() -> None:
    short, full = table(README, "Configuration"), table(DOCS / "configuration.md", "Configuration")
    assert short
    assert {name: row.split(" | ")[0] for name, row in short.items()} == {
        name: full[name].split(" | ")[0] for name in short
    }


def test_the_readme_lists_every_tool() -> None:
    assert list(table(README, "Tools")) == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_argument_of_a_tool_is_listed_with_its_default(tool: ToolDefinition[Any]) -> None:
    listed = table(DOCS / "tools.md", tool.name)
    assert list(listed) == list(tool.input_schema["properties"])
    for name, schema in tool.input_schema["properties"].items():
        default = listed[name].split("|")[0].strip()
        assert (default == "required") == (name in tool.input_schema.get("required", ()))
        if schema.get("default") is not None:
            assert default == f"`{schema['default']}`"
        if described := re.search(r"[Dd]efault (\d+)\b", schema.get("description", "")):
            assert default == f"{int(described[1]):,}"


def options(capsys: pytest.CaptureFixture[str], *command: str) -> set[str]:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    return set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"} - INTERNAL_OPTIONS


def test_every_command_is_listed_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    ([\w-]+)\b", capsys.readouterr().out, re.MULTILINE))
    listed = {row: re.findall(r"(?<= )[a-z][a-z-]*(?= |$)", row) for row in table(DOCS / "commands.md", "Commands")}
    assert {command[0] for command in listed.values() if command} == commands
    for row, command in listed.items():
        if command:
            assert set(re.findall(r"--[a-z-]+", row)) == options(capsys, *command)


def test_contributing_lists_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    listed = {row.split()[1] for row in table(ROOT / "CONTRIBUTING.md", "Commands")}
    assert listed <= targets
    assert {"check", "test", "test-slow", "coverage", "bench", "interop", "conformance"} <= listed


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
