"""Where the files of the clients are on each system, and what the command line and the documentation name."""

from pathlib import Path

import pytest

from memos_mcp.cli.client_commands import CLIENT_NAMES
from memos_mcp.clients.known_clients import CLIENTS, KnownClient
from memos_mcp.clients.system import System
from tests.docs.pages import ROOT, table

BY_NAME = {client.name: client for client in CLIENTS}
HOME = Path("/home/ada")

USER_FILES = {
    # client: Linux, macOS, Windows; below the home folder
    "claude-code": (".claude.json", ".claude.json", ".claude.json"),
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "codex": (".codex/config.toml",) * 3,
    "gemini": (".gemini/settings.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "continue": (".continue/config.yaml",) * 3,
    "cline": (".cline/data/settings/cline_mcp_settings.json",) * 3,
    "opencode": (".config/opencode/opencode.json",) * 3,
    "goose": (
        ".config/goose/config.yaml",
        ".config/goose/config.yaml",
        "AppData/Roaming/Block/goose/config/config.yaml",
    ),
}
PROJECT_FILES = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "zed": ".zed/settings.json",
    "continue": ".continue/mcpServers/memos.yaml",
    "opencode": "opencode.json",
}
NAMED_BY_VARIABLES = [
    ("claude-code", "CLAUDE_CONFIG_DIR", "/named/.claude.json"),
    ("vscode", "XDG_CONFIG_HOME", "/named/Code/User/mcp.json"),
    ("codex", "CODEX_HOME", "/named/config.toml"),
    ("gemini", "GEMINI_CLI_HOME", "/named/.gemini/settings.json"),
    ("cline", "CLINE_DIR", "/named/data/settings/cline_mcp_settings.json"),
    ("cline", "CLINE_DATA_DIR", "/named/settings/cline_mcp_settings.json"),
    ("cline", "CLINE_MCP_SETTINGS_PATH", "/named"),
    ("zed", "XDG_CONFIG_HOME", "/named/zed/settings.json"),
    ("opencode", "XDG_CONFIG_HOME", "/named/opencode/opencode.json"),
    ("goose", "XDG_CONFIG_HOME", "/named/goose/config.yaml"),
]


def system(platform: str, **environment: str) -> System:
    return System(platform, HOME, Path("/shop"), environment)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize("number", range(3), ids=["linux", "darwin", "win32"])
def test_the_file_of_a_user_is_where_the_client_has_it(client: KnownClient, number: int) -> None:
    platform = ("linux", "darwin", "win32")[number]
    assert client.path("user", system(platform)) == HOME / USER_FILES[client.name][number]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_file_of_a_project_is_where_the_client_has_it(client: KnownClient) -> None:
    file = PROJECT_FILES.get(client.name)
    assert client.path("project", system("linux")) == (None if file is None else Path("/shop", file))


@pytest.mark.parametrize(("name", "variable", "path"), NAMED_BY_VARIABLES)
def test_a_variable_names_another_folder(name: str, variable: str, path: str) -> None:
    assert BY_NAME[name].path("user", system("linux", **{variable: "/named"})) == Path(path)


def test_a_relative_folder_of_a_variable_is_ignored() -> None:
    assert BY_NAME["codex"].path("user", system("linux", CODEX_HOME="named")) == HOME / ".codex/config.toml"


def test_the_roaming_folder_of_windows_may_be_elsewhere() -> None:
    assert str(BY_NAME["zed"].path("user", system("win32", APPDATA=r"D:\Data"))).startswith(r"D:\Data")


def test_the_file_that_exists_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "opencode.jsonc").write_text("{}")
    assert BY_NAME["opencode"].path("project", System("linux", HOME, tmp_path, {})) == tmp_path / "opencode.jsonc"


def test_the_command_line_and_the_documentation_name_every_client() -> None:
    assert list(BY_NAME) == CLIENT_NAMES.split(", ")
    listed = table(ROOT / "docs/clients.md", "Files")
    assert list(listed) == list(BY_NAME)
    for name, row in listed.items():
        assert f"`~/{USER_FILES[name][0]}`" in row
        assert PROJECT_FILES.get(name, "none") in row
