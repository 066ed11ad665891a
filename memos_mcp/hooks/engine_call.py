"""A call of a tool at the engine that runs, within a deadline. No engine is started: a hook does not wait for one."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from memos_mcp.ipc.client_messages import call_line, handshake
from memos_mcp.ipc.handshake import decode, request_line
from memos_mcp.ipc.run_dir import RunDir, home_of, settings_in

CHUNK_BYTES: Final = 64 * 1024
NUMBER: Final = 1


def call(
    environment: Mapping[str, str], tool: str, arguments: Mapping[str, Any], deadline: float
) -> dict[str, Any] | None:
    """Return the result of a tool; None when no engine runs, or the tool refuses.

    deadline: of `time.monotonic()`. Raises `TimeoutError` when it passes, and `OSError` when the engine stops.
    """
    connection = RunDir(home_of(environment)).connect()
    if connection is None:
        return None
    with connection, connection.makefile("rb", CHUNK_BYTES) as lines:
        connection.settimeout(_remaining(deadline))
        connection.sendall(request_line("serve", settings_in(environment)))
        if (decode(lines.readline()) or {}).get("answer") != "welcome":
            return None
        connection.sendall(handshake("memos-as hook") + call_line(NUMBER, tool, arguments))
        while True:
            connection.settimeout(_remaining(deadline))
            line = lines.readline()
            if not line:
                return None
            message = json.loads(line)
            if message.get("id") == NUMBER:
                result = message.get("result") or {"isError": True}
                return None if result.get("isError") else result["structuredContent"]


def _remaining(deadline: float) -> float:
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return seconds
