"""The file of the MCP servers."""

import json
from pathlib import Path

import pytest

from memos_mcp.tool_calling.private_file import FileUnusable
from memos_mcp.tool_calling.server_file import ServerFile, WrongServer
from memos_mcp.tool_calling.tool_servers import ToolServer, endpoint_url, server_and_tool

FILES = ToolServer("files", ("npx", "-y", "files-server", "/tmp"), ("FILES_TOKEN",))
WEB = ToolServer("web", url="https://mcp.example.com/mcp", auth="web")


def test_servers_are_read_as_they_were_stored(tmp_path: Path) -> None:
    file = ServerFile(tmp_path / "tool_servers.json")
    file.put(WEB)
    file.put(FILES)
    assert file.all() == [FILES, WEB]
    assert (file.get("web"), file.get("other")) == (WEB, None)
    assert file.remove("web")
    assert not file.remove("web")
    assert file.all() == [FILES]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (ToolServer("", ("a",)), "name of a server"),
        (ToolServer("a/b", ("a",)), "name of a server"),
        (ToolServer("a", ("a",), ("NAME=value",)), "name of a variable only"),
        (ToolServer("a", ("a", "--api-key", "canary")), "--api-key would show a secret"),
        (ToolServer("a", ("a", "--token=canary")), "--token would show a secret"),
        (ToolServer("a", ("a", "--github-secret-key", "canary")), "would show a secret"),
    ],
)
def test_a_server_that_would_not_work_or_show_a_secret_is_refused(
    tmp_path: Path, server: ToolServer, problem: str
) -> None:
    with pytest.raises(WrongServer, match=problem) as refused:
        ServerFile(tmp_path / "tool_servers.json").put(server)
    assert "canary" not in str(refused.value)


def test_an_option_that_only_sounds_like_a_secret_is_taken(tmp_path: Path) -> None:
    file = ServerFile(tmp_path / "tool_servers.json")
    file.put(ToolServer("a", ("a", "--tokens", "--verbose", "--token-count")))
    assert file.get("a") is not None


@pytest.mark.parametrize("entry", [{}, {"command": ["a"], "url": "https://a.example"}, {"command": "a"}, {"x": 1}, 5])
def test_a_wrong_entry_is_reported_with_its_name(tmp_path: Path, entry: object) -> None:
    path = tmp_path / "tool_servers.json"
    path.write_text(json.dumps({"files": entry}))
    path.chmod(0o600)
    with pytest.raises(FileUnusable, match="at files"):
        ServerFile(path).get("files")


@pytest.mark.parametrize(("server", "tool"), [("files", "read"), ("a.b", "get /x?y#z"), ("a", "größe"), ("a", "a/b")])
def test_the_url_of_a_tool_leads_back_to_it(server: str, tool: str) -> None:
    assert server_and_tool(endpoint_url(server, tool)) == (server, tool)


@pytest.mark.parametrize(
    "url", ["https://a/b", "mcp://", "mcp://a", "mcp://a/", "mcp://a/b/c", "mcp:///b", "mcp://a/b?c"]
)
def test_another_url_names_no_tool(url: str) -> None:
    assert server_and_tool(url) is None
