"""A user's folder in which the examples of the documentation run: an installed memos-as, a home, a project."""

import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

import anyio
from anyio.abc import Process
from mcp import Client, StdioServerParameters

from memos_mcp.ipc.run_dir import RunDir
from tests import preloaded
from tests.docs.pages import PAGES, ROOT, blocks
from tests.ingest.git_repository import Repository

SECONDS = 60.0
STAND_INS = ("make", "pip", "docker", "kubectl", "claude", "npx")
LONG_RUNNING = re.compile(r"memos-as (serve|ingest .*--watch)\b")
PROJECT = {
    "src/app.py": "def total(prices: list[int]) -> int:\n    return sum(prices)\n",
    "src/server/handle.py": "class Requests:\n    def handle(self) -> str:\n        return 'handled'\n",
    "docs/guide.md": "# Guide\n\n## Deployment\n\nStaging is deployed by the release job.\n",
    "logo.svg": "<svg/>\n",
}


@dataclass
class Workspace:
    """`folder` is the user's home and working folder, so that the examples run with the default settings."""

    folder: Path
    port: int = field(init=False)

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.folder.parent.chmod(0o755)  # the embedded Postgres may be another user
        bin_folder = self.folder / ".venv/bin"
        bin_folder.mkdir(parents=True)
        memos = [f"{ROOT}/tests/docs/memos_as.py", preloaded.address(), Path(sys.executable).with_name("memos-as")]
        programs = {name: [f"{ROOT}/tests/docs/stand_ins.py", name] for name in STAND_INS}
        for name, command in {**programs, "memos-as": ["-IS", *map(str, memos)]}.items():
            program = bin_folder / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *command])} "$@"\n')
            program.chmod(0o755)
        self._write({f"src/web-shop/{name}": text for name, text in PROJECT.items()})
        web_shop = Repository(self.folder / "src/web-shop")
        web_shop.git("init", "-q")
        web_shop.commit("Sum the prices, because the till did not")
        named = [block for page in PAGES for block in blocks(page) if "." in block.name]
        self._write({block.name: block.text for block in named})

    @property
    def home(self) -> Path:
        """The default MEMOS_HOME of this user: programs that launch memos-as hand on HOME, but no MEMOS_* variable."""
        return (
            self.folder / ("Library/Application Support" if sys.platform == "darwin" else ".local/share") / "memos-as"
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the user's shell. A store waits until it is indexed, however slow the machine is."""
        return {
            "HOME": str(self.folder),
            "PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}",
            "MEMOS_LOADOUTS": str(self.folder / "loadouts"),
            "MEMOS_PORT": str(self.port),
            "MEMOS_INDEX_WAIT_SECONDS": "30",
            "PYTHONPATH": str(ROOT),
        }

    def localized(self, text: str) -> str:
        """Put this workspace's command and port in an example."""
        text = text.replace("/path/to/memos_mcp", str(self.folder))
        return text.replace("127.0.0.1:8766", f"127.0.0.1:{self.port}")

    async def shell(self, script: str) -> None:
        """Run the commands of a script one after the other; one that serves or watches stays until the end."""
        exports = ""
        async with AsyncExitStack() as running:
            for line in logical_lines(self.localized(script)):
                if line.startswith("export "):
                    exports += f"{line}\n"
                elif LONG_RUNNING.search(line):
                    await running.enter_async_context(self._running(f"{exports}exec {line}"))
                else:
                    await self.run(["sh", "-ec", exports + line])

    async def run(self, command: Sequence[str]) -> str:
        """Run a command to its end and return what it prints."""
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                command, cwd=self.folder, env=self.environment, stdin=PIPE, stderr=STDOUT, check=False
            )
        printed = done.stdout.decode()
        assert done.returncode == 0, f"{command[-1]}\n{printed}"
        return printed

    @asynccontextmanager
    async def _running(self, line: str) -> Any:
        """Start a command that does not end by itself, wait for its first line, and interrupt it after."""
        async with await anyio.open_process(
            ["sh", "-ec", line], cwd=self.folder, env=self.environment, stdout=PIPE, stderr=STDOUT
        ) as process:
            try:
                with anyio.fail_after(SECONDS):
                    await _first_line(process, "http://" if "serve" in line else "Watching")
                yield
            finally:  # also after a failure, which would wait for the process otherwise
                process.send_signal(signal.SIGINT)
            with anyio.fail_after(SECONDS):
                assert await process.wait() == 0, line

    @asynccontextmanager
    async def client(self, command: str = "memos-as", args: Sequence[str] = (), **env: str) -> Any:
        """Be a client that launches this command, in this workspace."""
        server = StdioServerParameters(
            command=command, args=list(args), env={**self.environment, **env}, cwd=self.folder
        )
        with anyio.fail_after(SECONDS):
            async with Client(server) as client:
                yield client

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; return its answer, which must be none of an error."""
        async with self.client() as client:
            result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        answer: dict[str, Any] = json.loads(result.content[0].text)
        return answer

    async def start_engine(self) -> None:
        """Start the engine unless one runs; `status` and `stop` need it."""
        if RunDir(str(self.home)).engine_pid() is None:
            await self.call("query_memory", {})

    def _write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def logical_lines(script: str) -> list[str]:
    """Return the commands of a script, without comments; one that is continued after a backslash is one."""
    lines = script.replace("\\\n", " ").splitlines()
    commands = [re.sub(r"(^|\s)# .*$", "", line).strip() for line in lines]
    return [command for command in commands if command]


async def _first_line(process: Process, expected: str) -> None:
    """Read until the expected line; what comes after stays in the pipe, which holds more than is logged."""
    printed = ""
    assert process.stdout is not None
    async for part in process.stdout:
        printed += part.decode()
        if expected in printed:
            return
    raise AssertionError(printed)
