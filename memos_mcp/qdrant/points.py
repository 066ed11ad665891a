"""What a passage looks like as a point: its id, its payload, the names of its vectors. Knows no driver."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID, uuid5

from memos_mcp.domain.index import Entry, Match, Passage, Span, Vector, WeightedText

FORMAT: Final = 4
"""Grows when payload or BM25 vectors change in a way that an older generation cannot be searched with."""

DENSE: Final = "dense"
BM25: Final = "bm25"

ITEM: Final = "item"
NAMESPACE: Final = "namespace"
VERSION: Final = "version"
PASSAGE: Final = "passage"
PASSAGES: Final = "passages"
START: Final = "start"
END: Final = "end"
PART_OF: Final = "part_of"

TOLD: Final = (ITEM, START, END, PART_OF)
"""The payload that an answer needs."""

M: Final = 16
EF_CONSTRUCT: Final = 100
"""Qdrant's own defaults for the graph, https://qdrant.tech/documentation/concepts/indexing/#vector-index."""

SPARSE_FULL_SCAN: Final = 100
"""Filtered points up to which BM25 is computed point by point. Qdrant's default of 5,000 cost 4 ms for a namespace of
3,000 among 60,000; through the inverted index it is 1.4 ms."""

CLOSED: Final = "The search index is closed. Repeat the call in a moment."
OUTDATED: Final = "The search index is being rebuilt for another model and takes no entries until then."

Row: TypeAlias = Sequence[Any]
"""What an index says of a point: item, start, end, what it is a part of, and score."""

WRITE_BATCH_POINTS: Final = 64
"""Points written at once. The shard answers nobody meanwhile: 64 points took 4 ms, 500 took 25 to 150."""

LEAST_SHARE: Final = 10
"""Items that a question may propose however many there are."""

PAGE: Final = 1_000
MAX_CANDIDATE_POINTS: Final = 4_096

INCOMPLETE: Final = -1
"""Stands for the version of an item of which passages are missing: no row has it, so it is indexed again."""


class Point(NamedTuple):
    """One passage as it is written; the BM25 vector is made from its weighted_texts at the place that writes."""

    id: UUID
    payload: Mapping[str, Any]
    weighted_texts: Sequence[WeightedText]
    vector: Vector


@dataclass(slots=True)
class WriteBatch:
    """Points to write at once, then the items that end here: whatever they had from that number on is left over."""

    points: list[Point] = field(default_factory=list)
    ends: dict[int, list[UUID]] = field(default_factory=dict)


def point_id(item_id: UUID, number: int) -> UUID:
    """Return the id of an item's passage: the same in every generation, so that a repeated write changes nothing."""
    return uuid5(item_id, str(number))


def write_batches(entries: Iterable[Entry]) -> Iterator[WriteBatch]:
    """Yield the entries' points in pieces of at most `WRITE_BATCH_POINTS`, an item's passages in order."""
    batch = WriteBatch()
    for entry in entries:
        for number, passage in enumerate(entry.passages):
            if len(batch.points) == WRITE_BATCH_POINTS:
                yield batch
                batch = WriteBatch()
            payload = _payload(entry, number, passage)
            batch.points.append(Point(point_id(entry.item_id, number), payload, passage.weighted_texts, passage.vector))
        batch.ends.setdefault(len(entry.passages), []).append(entry.item_id)
    if batch.points or batch.ends:
        yield batch


def best_rows(rows: Iterable[Row], limit: int) -> list[Row]:
    """Keep each item's first row, in the order given, best first, of up to `limit` items."""
    best: dict[str, Row] = {}
    for row in rows:
        if len(best) == limit:
            break
        best.setdefault(row[0], row)
    return list(best.values())


def shares(questions: int, limit: int) -> list[int]:
    """Return how many items each question may propose: the first `limit`, those after it together about as many.

    Each sentence of a question with all of `limit` would have most of the time go into scoring what none is about.
    """
    others = questions - 1
    return [limit, *(max(LEAST_SHARE, limit // others) for _ in range(others))]


def left_out(lanes: Sequence[str], proposed: Sequence[Sequence[Row]], limits: Sequence[int]) -> list[list[str]]:
    """Return, for each lane, the items that only others proposed.

    None for a lane of words that ended before its limit: what it did not name shares no word. A dense one may have
    ended at `MAX_CANDIDATE_POINTS`, and has a score for everything.
    """
    items = dict.fromkeys(row[0] for rows in proposed for row in rows)
    held = [{row[0] for row in rows} for rows in proposed]
    return [
        [item for item in items if item not in own] if lane == DENSE or len(own) >= limit else []
        for lane, own, limit in zip(lanes, held, limits, strict=True)
    ]


def matches(rows: Iterable[Row]) -> list[Match]:
    """Return rows as the port's matches."""
    return [Match(UUID(item), score, Span(start, end), part_of) for item, start, end, part_of, score in rows]


def told(payload: Mapping[str, Any] | None) -> list[Any]:
    """Return what a point's payload says, as a row has it."""
    return [(payload or {}).get(field) for field in TOLD]


class VersionScan:
    """Counts an index's points to tell at which version it holds each item."""

    def __init__(self) -> None:
        self._seen: dict[UUID, tuple[int, int]] = {}

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Count points, each given as item, version and the number of passages that its item has."""
        for item, version, passages in rows:
            key = UUID(item)
            least, missing = self._seen.get(key, (version, passages))
            self._seen[key] = min(least, version), missing - 1

    def versions(self) -> dict[UUID, int]:
        """Return each item's smallest version; `INCOMPLETE` where passages are missing or left over."""
        return {item: INCOMPLETE if missing else version for item, (version, missing) in self._seen.items()}


def _payload(entry: Entry, number: int, passage: Passage) -> dict[str, Any]:
    return {
        ITEM: str(entry.item_id),
        NAMESPACE: entry.namespace,
        VERSION: entry.version,
        PASSAGE: number,
        PASSAGES: len(entry.passages),
        START: passage.span.start,
        END: passage.span.end,
        PART_OF: entry.part_of,
        **{name: list(words) for name, words in entry.words.items()},
        **entry.numbers,
    }
