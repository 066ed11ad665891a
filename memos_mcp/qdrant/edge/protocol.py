"""Messages between the engine and its index process: JSON, then vectors as 32-bit floats.

Both ends are this package, on one machine and of one version. JSON alone took ten times as long for vectors.
"""

import json
from array import array
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any, Final

from memos_mcp.domain.index import Vector

HEAD: Final = Struct("!II")
"""Bytes of JSON, bytes of floats."""


def pack(message: Mapping[str, Any], vectors: Iterable[Vector] = ()) -> bytes:
    """Return one message as bytes."""
    text = json.dumps(message, separators=(",", ":"), default=str).encode()
    floats = b"".join(array("f", vector).tobytes() for vector in vectors)
    return HEAD.pack(len(text), len(floats)) + text + floats


def length(head: bytes) -> int:
    """Return how many bytes follow this head."""
    return sum(HEAD.unpack(head))


def unpack(head: bytes, body: bytes) -> tuple[Any, "array[float]"]:
    """Return a message and its floats, all vectors in a row."""
    text, _ = HEAD.unpack(head)
    floats = array("f")
    floats.frombytes(body[text:])
    return json.loads(body[:text]), floats
