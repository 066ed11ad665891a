"""Real clients read what `memos-as install` writes, and connect to a real server: `make interop-clients`."""

import json
import re
import subprocess
from typing import Final

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from tests.clients.client_user import SECONDS, ClientUser, with_real_clients

CONNECTED: Final = {
    "claude-code": ("claude", r"memos: .* Connected"),
    "gemini": ("gemini", r"memos: .* - Connected"),
    "opencode": ("opencode", r"memos \S*connected"),
}

pytestmark = with_real_clients


async def codex_server(user: ClientUser) -> str:
    """Return the name that the server has given to Codex, whose `mcp list` does not connect."""
    requests = [
        {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "test", "version": "1"}}},
        {"method": "initialized"},
        {"id": 2, "method": "mcpServerStatus/list", "params": {}},
    ]
    async with await anyio.open_process(
        ["codex", "app-server"], env=user.variables, cwd=user.home, stderr=subprocess.DEVNULL
    ) as codex:
        assert codex.stdin is not None
        assert codex.stdout is not None
        await codex.stdin.send("".join(f"{json.dumps(request)}\n" for request in requests).encode())
        text = ""
        with anyio.fail_after(SECONDS):
            async for part in TextReceiveStream(codex.stdout):
                text += part
                if found := re.search(r'^\{"id":2,.*"serverInfo":\{"name":"([^"]+)".*\n', text, re.MULTILINE):
                    codex.kill()
                    return found[1]
    raise AssertionError(text)


@pytest.mark.parametrize("given", [(), ("--http",)], ids=["stdio", "http"])
@pytest.mark.parametrize("client", CONNECTED)
async def test_the_client_lists_the_server_as_connected(user: ClientUser, client: str, given: tuple[str, ...]) -> None:
    user.install(client, *given)
    program, connected = CONNECTED[client]
    listing = await user.run(program, "mcp", "list")
    assert re.search(connected, listing), listing


@pytest.mark.parametrize("given", [(), ("--http",)], ids=["stdio", "http"])
async def test_codex_connects_to_the_server(user: ClientUser, given: tuple[str, ...]) -> None:
    user.install("codex", *given)
    assert re.search(r"memos .* enabled", await user.run("codex", "mcp", "list"))
    assert await codex_server(user) == "memos-as"
