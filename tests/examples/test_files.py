"""The configuration files of the examples."""

import json
import tomllib
from pathlib import Path

from memos_mcp.cli import seeding
from memos_mcp.ingest.loadout_files import read_loadout
from tests.examples.conftest import EXAMPLES

ROOT = EXAMPLES.parent


def test_the_desktop_configuration_matches_mcp_json_with_a_full_path() -> None:
    given = json.loads((EXAMPLES / "claude_desktop/claude_desktop_config.json").read_text())
    known = json.loads((ROOT / "mcp.json").read_text())
    assert given["mcpServers"].keys() == known["mcpServers"].keys()
    command = Path(given["mcpServers"]["memos"]["command"])
    assert command.is_absolute()
    assert command.parts[-3:] == Path(known["mcpServers"]["memos"]["command"]).parts[-3:]


def test_the_loadout_has_the_capabilities_for_its_pinned_tools() -> None:
    loadout = read_loadout("errands", EXAMPLES / "loadouts/errands.toml")
    seeds = tomllib.loads((Path(seeding.__file__).parents[1] / "seeds/initial.toml").read_text())["tools"]
    needed = {tool["tool_id"]: set(tool["required_capabilities"]) for tool in seeds}
    assert loadout.pinned_tools
    for tool_id in loadout.pinned_tools:
        assert needed[tool_id] <= set(loadout.capabilities or ())
