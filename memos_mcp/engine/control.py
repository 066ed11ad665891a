"""What is asked of an engine in one line and answered in one line."""

from typing import Any, Final

import anyio

from memos_mcp.ipc.handshake import MAX_BYTES, Want, decode, greeting
from memos_mcp.ipc.run_dir import RunDir
from memos_mcp.transports.fd_streams import Receive, receiving, sending

ANSWER_SECONDS: Final = 5.0


async def ask(place: RunDir, want: Want) -> dict[str, Any] | None:
    """Return the engine's answer, or None when there is no engine, or no more; `TimeoutError` when it says nothing."""
    connection = place.connect()
    if connection is None:
        return None
    with connection, anyio.fail_after(ANSWER_SECONDS):
        try:
            await sending(connection.fileno())(greeting(want, {}))
        except OSError:
            return None
        line, _ = await first_line(receiving(connection.fileno()))
    return decode(line)


async def first_line(receive: Receive) -> tuple[bytes, bytes]:
    """Return the first line, and what has come in after it; nothing when it does not end, or ends too late."""
    said = bytearray()
    while b"\n" not in said and len(said) <= MAX_BYTES:
        part = await receive()
        if not part:
            break
        said += part
    line, end, rest = said.partition(b"\n")
    return (bytes(line), bytes(rest)) if end and len(line) <= MAX_BYTES else (b"", b"")
