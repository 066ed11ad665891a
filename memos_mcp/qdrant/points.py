"""A passage as a point: its id, its payload, the names of its vectors. Imports no driver."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from memos_mcp.domain.index import Entry, ItemState, Passage, Vector, WeightedText

FORMAT: Final = 9
"""Increased when payloads or BM25 vectors change so that an older generation can no longer be searched. One that lacks
a kind is completed."""

DENSE: Final = "dense"
BM25: Final = "bm25"

ITEM: Final = "item"
NAMESPACE: Final = "namespace"
VERSION: Final = "version"
PASSAGE: Final = "passage"
PASSAGES: Final = "passages"
START: Final = "start"
END: Final = "end"
GROUP: Final = "group"
CONTEXT: Final = "context"
SEQUENCE: Final = "sequence"

RESULT_FIELDS: Final = (ITEM, START, END, GROUP)
"""The payload fields that a search returns."""

STATE_FIELDS: Final = (ITEM, VERSION, CONTEXT, PASSAGES)
"""The payload fields from which `StateScan` finds the state of an item."""

M: Final = 16
EF_CONSTRUCT: Final = 100
"""Qdrant's own defaults for the graph, https://qdrant.tech/documentation/concepts/indexing/#vector-index."""

OVERSAMPLING: Final = 2.0
"""How many times as many points as were asked for are preselected by the 8-bit copies of their vectors, which change
the order of near neighbours, and scored with the vectors themselves: the factor of Qdrant's examples,
https://qdrant.tech/documentation/guides/quantization/#searching-with-quantization."""

SPARSE_FULL_SCAN: Final = 100
"""Filtered points up to which BM25 is computed point by point. Qdrant's default of 5,000 cost 4 ms for a namespace of
3,000 among 60,000; through the inverted index it is 1.4 ms."""

CLOSED: Final = "The search index is closed. Repeat the call in a moment."
OUTDATED: Final = "The search index is being rebuilt for another model and takes no entries until then."

WRITE_BATCH_BYTES: Final = 256 * 1024
"""Size of the vectors and texts written at once. A shard answers no search meanwhile: for some 130 short memories or
90 messages with their neighbours, about 15 ms."""

PAGE: Final = 1_000

INCOMPLETE: Final = ItemState(-1)
"""Reported for an item with missing passages, or some of another state: no row has it, so it is indexed again."""


class Point(NamedTuple):
    """One passage to write. The process that writes it makes its BM25 vector from `weighted_texts`."""

    id: UUID
    payload: Mapping[str, Any]
    weighted_texts: Sequence[WeightedText]
    vector: Vector


@dataclass(slots=True)
class WriteBatch:
    """Points to write at once, and the items whose last passage is among them, by their number of passages.

    Once the points are written, whatever these items have from that passage number on is stale.
    """

    points: list[Point] = field(default_factory=list)
    complete: dict[int, list[UUID]] = field(default_factory=dict)


def point_id(item_id: UUID, number: int) -> UUID:
    """Return the id of an item's passage. It is the same in every generation, so a repeated write changes nothing."""
    return uuid5(item_id, str(number))


def write_batches(entries: Iterable[Entry]) -> Iterator[WriteBatch]:
    """Yield the entries' points in batches of about `WRITE_BATCH_BYTES`, an item's passages in order."""
    batch, size = WriteBatch(), 0
    for entry in entries:
        for number, passage in enumerate(entry.passages):
            if size >= WRITE_BATCH_BYTES:
                yield batch
                batch, size = WriteBatch(), 0
            size += passage.vector.nbytes + sum(len(text) for text, _ in passage.weighted_texts)
            payload = _payload(entry, number, passage)
            batch.points.append(Point(point_id(entry.item_id, number), payload, passage.weighted_texts, passage.vector))
        batch.complete.setdefault(len(entry.passages), []).append(entry.item_id)
    if batch.points or batch.complete:
        yield batch


def fields_of(payload: Mapping[str, Any] | None, names: Sequence[str]) -> list[Any]:
    """Return the values of these fields in a point's payload, None for those that it lacks."""
    return [(payload or {}).get(name) for name in names]


class StateScan:
    """Counts points to find the state at which the index holds each item."""

    def __init__(self) -> None:
        self._items: dict[UUID, tuple[ItemState, int]] = {}

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Count points, each given as its `STATE_FIELDS`."""
        for item, version, context, passages in rows:
            key, state = UUID(item), ItemState(version, context)
            first, missing = self._items.get(key, (state, passages))
            self._items[key] = (first if first == state else INCOMPLETE), missing - 1

    def states(self) -> dict[UUID, ItemState]:
        """Return each item's state; `INCOMPLETE` if its passages differ, or are too few or too many."""
        return {item: INCOMPLETE if missing else state for item, (state, missing) in self._items.items()}


def _payload(entry: Entry, number: int, passage: Passage) -> dict[str, Any]:
    return {
        ITEM: str(entry.item_id),
        NAMESPACE: entry.namespace,
        SEQUENCE: entry.sequence,
        VERSION: entry.state.version,
        **({} if entry.state.context is None else {CONTEXT: entry.state.context}),
        PASSAGE: number,
        PASSAGES: len(entry.passages),
        START: passage.span.start,
        END: passage.span.end,
        **({} if entry.group is None else {GROUP: list(entry.group)}),
        # To a filter a word is the same as a list of it; Qdrant Edge takes three times as long for the list.
        **{name: list(words) if len(words) > 1 else words[0] for name, words in entry.words.items() if words},
        **entry.numbers,
    }
