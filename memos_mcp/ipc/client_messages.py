"""What a client of the engine sends that needs no SDK: importing one takes longer than the few calls of a command.

0.8 to 1.3 s by `python -X importtime -c "import mcp"`, on Python 3.11 and two cores.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from memos_mcp import __version__

PROTOCOL: Final = "2025-06-18"


def handshake(client: str) -> bytes:
    """Return the lines of MCP's handshake. What follows may be sent before the answer, which has the id 0."""
    information = {"name": client, "version": __version__}
    parameters = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": information}
    initialize = {"id": 0, "method": "initialize", "params": parameters}
    return _line(initialize) + _line({"method": "notifications/initialized"})


def call_line(number: int, tool: str, arguments: Mapping[str, Any]) -> bytes:
    """Return the line that calls a tool; `number` is the id of its answer."""
    return _line({"id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
