"""Requests to an engine that one line asks and one line answers."""

from collections.abc import Generator
from typing import Any, Final, TypeVar

import anyio

from memos_mcp.ipc import handshake
from memos_mcp.ipc.handshake import Wait, Want, request_line
from memos_mcp.ipc.run_dir import RunDir

ANSWER_SECONDS: Final = 5.0

Result = TypeVar("Result")


async def ask(run_dir: RunDir, want: Want) -> dict[str, Any] | None:
    """Return the engine's answer, or None when no engine runs; raise `TimeoutError` when it does not answer."""
    connection = run_dir.connect()
    if connection is None:
        return None
    with connection, anyio.fail_after(ANSWER_SECONDS):
        return await run_steps(handshake.ask(connection, request_line(want, {})))


async def run_steps(steps: Generator[Wait, bool | None, Result]) -> Result:
    """Run a generator of the handshake to its end, waiting for what it yields without blocking the event loop."""
    readable: bool | None = None
    while True:
        try:
            descriptor, seconds = steps.send(readable)
        except StopIteration as finished:
            result: Result = finished.value
            return result
        readable = False
        with anyio.move_on_after(seconds):
            await (anyio.sleep(seconds) if descriptor is None else anyio.wait_readable(descriptor))
            readable = descriptor is not None
