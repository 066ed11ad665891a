"""Messages between the engine and its index process: JSON, then vectors as 32-bit floats.

Both ends are this package, on one machine and of one version. JSON alone took ten times as long for vectors.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from typing import Any, Final

from memos_mcp.domain.index import Entry, IndexFilter, ItemKind, Vector
from memos_mcp.qdrant.points import write_batches

HEADER: Final = Struct("!II")
"""Length of the JSON and of the floats, in bytes."""


def pack(message: Mapping[str, Any], vectors: Iterable[Vector] = ()) -> bytes:
    """Return one message as bytes."""
    text = json.dumps(message, separators=(",", ":"), default=str).encode()
    floats = b"".join(array("f", vector).tobytes() for vector in vectors)
    return HEADER.pack(len(text), len(floats)) + text + floats


def body_length(header: bytes) -> int:
    """Return how many bytes follow this header."""
    return sum(HEADER.unpack(header))


def unpack(header: bytes, body: bytes) -> tuple[Any, "array[float]"]:
    """Return a message and its floats, the vectors one after the other."""
    text, _ = HEADER.unpack(header)
    floats = array("f")
    floats.frombytes(body[text:])
    return json.loads(body[:text]), floats


def put_requests(kind: ItemKind, entries: Iterable[Entry]) -> Iterator[tuple[list[Vector], dict[str, Any]]]:
    """Yield the vectors and arguments of each `put`, one per write batch, so that searches are answered in between."""
    for batch in write_batches(entries):
        points = [(point.id, point.payload, point.weighted_texts) for point in batch.points]
        yield [point.vector for point in batch.points], {"kind": kind, "points": points, "complete": batch.complete}


def filter_argument(where: IndexFilter) -> dict[str, Any]:
    """Return a filter as plain dicts and lists, for the `where` of a `search`."""
    return {
        "namespace": where.namespace,
        "has_all": {field: list(words) for field, words in where.has_all.items()},
        "subset_of": {field: list(words) for field, words in where.subset_of.items()},
        "at_least": dict(where.at_least),
        "at_most": dict(where.at_most),
        "not_expired_by": dict(where.not_expired_by),
    }
