"""Real clients read what `memos-as install` writes, and connect to a real server: `make interop-clients`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from tests.acceptance.servers import Server
from tests.prepared_home import copy_home

PROGRAMS: Final = os.environ.get("MEMOS_TEST_CLIENTS")
"""The folder of the clients' programs."""

SECONDS: Final = 120
CONNECTED: Final = {
    "claude-code": ("claude", r"memos: .* Connected"),
    "gemini": ("gemini", r"memos: .* - Connected"),
    "opencode": ("opencode", r"memos \S*connected"),
}
READ_THE_TOKEN_FILE: Final = {"claude-code", "opencode"}

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="MEMOS_TEST_CLIENTS is not set: run `make interop-clients`"),
]


@pytest.fixture(scope="module")
def server(home_template: Path) -> Iterator[Server]:
    """A server over HTTP, which is the engine of its home too."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        server = Server(copy_home(home_template, Path(folder, "home")), ("serve", "--port", "0"))
        try:
            assert server.url
            yield server
        finally:
            server.stop()


class User:
    """A user with a home of its own, who connects a client and lists its servers."""

    def __init__(self, home: Path, server: Server) -> None:
        self._home, self._server = home, server
        self._variables = {"HOME": str(home), "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "NO_COLOR": "1"}
        (home / ".gemini").mkdir()
        (home / ".gemini/trustedFolders.json").write_text(json.dumps({str(home): "TRUST_FOLDER"}))

    def install(self, client: str, *given: str) -> None:
        port = self._server.url.rpartition(":")[2]
        settings = {"MEMOS_HOME": str(self._server.home), "MEMOS_PORT": port}
        command = [sys.executable, "-m", "memos_mcp", "install", client, *given]
        subprocess.run(command, env={**self._variables, **settings}, cwd=self._home, check=True, timeout=SECONDS)
        if given and client not in READ_THE_TOKEN_FILE:
            self._variables["MEMOS_TOKEN"] = (self._server.home / "http-token").read_text().strip()

    async def listing(self, program: str) -> str:
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                [program, "mcp", "list"], env=self._variables, cwd=self._home, stderr=subprocess.STDOUT, check=False
            )
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode())

    async def codex_server(self) -> str:
        """Return the name that the server has given to Codex, whose `mcp list` does not connect."""
        requests = [
            {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "test", "version": "1"}}},
            {"method": "initialized"},
            {"id": 2, "method": "mcpServerStatus/list", "params": {}},
        ]
        async with await anyio.open_process(
            ["codex", "app-server"], env=self._variables, cwd=self._home, stderr=subprocess.DEVNULL
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


@pytest.fixture
def user(tmp_path: Path, server: Server) -> User:
    return User(tmp_path, server)


@pytest.mark.parametrize("given", [(), ("--http",)], ids=["stdio", "http"])
@pytest.mark.parametrize("client", CONNECTED)
async def test_the_client_lists_the_server_as_connected(user: User, client: str, given: tuple[str, ...]) -> None:
    user.install(client, *given)
    program, connected = CONNECTED[client]
    listing = await user.listing(program)
    assert re.search(connected, listing), listing


@pytest.mark.parametrize("given", [(), ("--http",)], ids=["stdio", "http"])
async def test_codex_connects_to_the_server(user: User, given: tuple[str, ...]) -> None:
    user.install("codex", *given)
    assert re.search(r"memos .* enabled", await user.listing("codex"))
    assert await user.codex_server() == "memos-as"
