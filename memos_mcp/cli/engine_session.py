"""Calls tools of the engine as a client does: through a bridge, which connects to the engine or starts it."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.ipc.client_messages import call_line, handshake

ANSWER_SECONDS: Final = 120.0
END_SECONDS: Final = 10.0

NO_ANSWER: Final = "No answer came in time. See: memos-as status"
CLOSED: Final = "The connection was closed before the answer came. See: memos-as status"


class EngineSession:
    """A connection to the engine."""

    def __init__(self, bridge: "subprocess.Popen[bytes]") -> None:
        if bridge.stdin is None or bridge.stdout is None:
            raise Unavailable("The bridge has no pipes.")
        self._requests = bridge.stdin
        self._answers = bridge.stdout
        self._numbers = count(1)

    async def initialize(self) -> None:
        """Make the handshake of MCP without waiting for its answer."""
        await self._send(handshake("memos-as"))

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a tool; raise `Invalid` with its error, `Unavailable` when it does not answer."""
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                number = next(self._numbers)
                await self._send(call_line(number, tool, arguments))
                result = await self._result(number)
        except TimeoutError:
            raise Unavailable(NO_ANSWER) from None
        if result.get("isError"):
            raise Invalid(result["content"][0]["text"])
        answer: dict[str, Any] = result["structuredContent"]
        return answer

    async def _send(self, lines: bytes) -> None:
        try:
            await run_sync(self._write, lines, abandon_on_cancel=True)
        except OSError:
            raise Unavailable(CLOSED) from None

    def _write(self, lines: bytes) -> None:
        self._requests.write(lines)
        self._requests.flush()

    async def _result(self, number: int) -> dict[str, Any]:
        while line := await run_sync(self._answers.readline, abandon_on_cancel=True):
            message = json.loads(line)
            if "error" in message:
                raise Unavailable(str(message["error"].get("message", "The server gave no reason.")))
            if message.get("id") == number:
                result: dict[str, Any] = message["result"]
                return result
        raise Unavailable(CLOSED)


@asynccontextmanager
async def engine_session() -> AsyncIterator[EngineSession]:
    """Yield a session with the engine that this process's environment names.

    The bridge has a process group of its own, so that Ctrl-C reaches this process only, which ends the bridge. Its
    stderr repeats what it answers. asyncio is not asked to start it, because it may report a child that it did not
    await when Ctrl-C comes meanwhile.
    """
    command = [sys.executable, "-P", "-m", "memos_mcp"]
    if sys.platform == "win32":
        command.append("--in-process")
    bridge = subprocess.Popen(  # noqa: ASYNC220, S603  # returns at once; our own program, without a shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        session = EngineSession(bridge)
        await session.initialize()
        yield session
    finally:
        _end(bridge)


def _end(bridge: "subprocess.Popen[bytes]") -> None:
    """End the bridge, which keeps nothing, so that a thread that still reads from it ends too."""
    if sys.platform == "win32" and bridge.stdin is not None:  # it is the server itself, and closes its stores
        bridge.stdin.close()
        bridge.wait(END_SECONDS)
    bridge.kill()
    with suppress(OSError), bridge:  # what could not be written before is not written now
        pass
