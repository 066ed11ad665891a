"""The private lines between a bridge and its engine: the first line in each direction, and the shutdown notice.

Each is a JSON object on one line whose first member is the protocol's number, which no message of MCP begins with.
"""

import json
import socket
import time
from collections.abc import Generator, Mapping
from typing import Any, Final, Literal

from memos_mcp import __version__

Want = Literal["serve", "status", "stop"]

Wait = tuple[int | None, float]
"""A file descriptor that should become readable, if any, and for how many seconds to wait."""

PROTOCOL: Final = 1
PREFIX: Final = b'{"memos-as":'
MAX_BYTES: Final = 64 * 1024

IDENTITY: Final = (
    "MEMOS_DATABASE_URL",
    "MEMOS_DATABASE_ROLE",
    "MEMOS_QDRANT_URL",
    "MEMOS_QDRANT_API_KEY",
    "MEMOS_QDRANT_PREFIX",
    "MEMOS_EMBEDDING_MODEL",
)
"""The settings that name the data an engine serves, and how it is searched. They travel in the first line, since the
socket is the user's own; they may hold secrets and must not be logged."""


def request_line(want: Want, settings: Mapping[str, str]) -> bytes:
    """Return a client's first line: what it wants, and the scope and the engine that its settings name."""
    return encode(
        want=want,
        version=__version__,
        namespace=settings.get("MEMOS_NAMESPACE", "default"),
        agent_id=settings.get("MEMOS_AGENT_ID", "default"),
        settings={name: settings[name] for name in IDENTITY if name in settings},
    )


def ask(
    connection: socket.socket, request: bytes, deadline: float = float("inf")
) -> Generator[Wait, bool | None, dict[str, Any] | None]:
    """Send a request line; return the engine's answer, or None when it has stopped or sends something else."""
    try:
        connection.sendall(request)
    except ConnectionError:
        return None
    return decode((yield from read_line(connection, deadline)))


def read_line(connection: socket.socket, deadline: float = float("inf")) -> Generator[Wait, bool | None, bytes]:
    """Read the first line from a non-blocking socket, and nothing of what follows it.

    Yields what to wait for, and is sent whether it happened. Returns b"" when no line of at most `MAX_BYTES` comes
    before the deadline.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_BYTES:
        if not (yield connection.fileno(), deadline - time.monotonic()):
            return b""
        try:
            available = connection.recv(MAX_BYTES, socket.MSG_PEEK)
            line += connection.recv(available.find(b"\n") + 1 or len(available))
        except ConnectionError:
            return b""
        if not available:
            return b""
    return line if line.endswith(b"\n") else b""


def encode(**payload: Any) -> bytes:
    """Return a private line."""
    return json.dumps({"memos-as": PROTOCOL, **payload}).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the payload of a private line, or None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        payload = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return payload if payload["memos-as"] == PROTOCOL else None


def is_newer(version: str, other: str) -> bool:
    """Whether a version is newer than another. Anything after the numbers is ignored."""
    return _numbers(version) > _numbers(other)


def _numbers(version: str) -> list[int]:
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
        if digits != part:
            break
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
