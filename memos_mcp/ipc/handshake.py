"""The private lines between a bridge and its engine: the first in each direction, and the engine's farewell.

Each is a JSON object on one line whose first member is the protocol's number, which no message of MCP begins with.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from memos_mcp import __version__

Want = Literal["serve", "status", "stop"]

PROTOCOL: Final = 1
PREFIX: Final = b'{"memos-as":'
MAX_BYTES: Final = 64 * 1024

IDENTITY: Final = (
    "MEMOS_DATABASE_URL",
    "MEMOS_QDRANT_URL",
    "MEMOS_QDRANT_API_KEY",
    "MEMOS_QDRANT_PREFIX",
    "MEMOS_EMBEDDING_MODEL",
)
"""The settings that say whose data an engine serves, and how it is searched. They travel in the first line, since the
socket is the user's own; they may hold secrets and must not be logged."""


def greeting(want: Want, settings: Mapping[str, str]) -> bytes:
    """Return a client's first line: what it wants, and which scope and engine its settings name."""
    return encode(
        want=want,
        version=__version__,
        namespace=settings.get("MEMOS_NAMESPACE", "default"),
        agent_id=settings.get("MEMOS_AGENT_ID", "default"),
        settings={name: settings[name] for name in IDENTITY if name in settings},
    )


def encode(**told: Any) -> bytes:
    """Return a private line."""
    return json.dumps({"memos-as": PROTOCOL, **told}).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Return what a private line says, or None for any other line."""
    if not line.startswith(PREFIX):
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return told if told["memos-as"] == PROTOCOL else None


def is_newer(version: str, other: str) -> bool:
    """Tell whether a version is newer than another; what follows the numbers does not count."""
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
