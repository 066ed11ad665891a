"""Searches one shard: each lane proposes items, then scores what others proposed. For the index process only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import qdrant_edge as edge

from memos_mcp.qdrant.points import ITEM, MAX_CANDIDATE_POINTS, NAMESPACE, TOLD, Row, best_rows, left_out, told


class Ask(NamedTuple):
    """What one lane is asked for the sake of one question."""

    question: int
    lane: str
    vector: Any
    params: edge.SearchParams | None


class Searcher:
    """Answers one request. Lanes find much the same points, so the payload of each is read once.

    With 8,400 points, 50 nearest cost 0.14 ms without their payloads and 0.75 ms with them.
    """

    def __init__(self, shard: edge.EdgeShard) -> None:
        self._shard = shard
        self._told: dict[int | UUID | str, list[Any]] = {}

    def lanes(self, asks: Sequence[Ask], those: edge.Filter, limits: Sequence[int]) -> list[list[Row]]:
        """Return the rows of each lane, best first: what it proposes up to its limit of items, then what others did."""
        proposed = [self._nearest(ask, those, limit) for ask, limit in zip(asks, limits, strict=True)]
        absent = left_out([ask.lane for ask in asks], proposed, limits)
        return [
            [*rows, *(self._nearest(ask, edge.Filter(must=[one_of(items)]), len(items)) if items else ())]
            for ask, rows, items in zip(asks, proposed, absent, strict=True)
        ]

    def _nearest(self, ask: Ask, those: edge.Filter, limit: int) -> list[Row]:
        """Return the best point of each of up to `limit` items, best first.

        Twice as many points are asked for as long as several passages of one item leave too few items.
        """
        wanted = limit
        while True:
            found = self._shard.query(
                edge.QueryRequest(
                    query=edge.Query.Nearest(ask.vector, using=ask.lane),
                    limit=wanted,
                    filter=those,
                    params=ask.params,
                    with_payload=False,
                )
            )
            scores = [(point.id, point.score) for point in found]  # each reading of an id makes a new one
            self._read([point for point, _ in scores])
            rows = best_rows(((*self._told[point], score) for point, score in scores), limit)
            if len(rows) == limit or len(found) < wanted or wanted >= MAX_CANDIDATE_POINTS:
                return rows
            wanted = min(2 * wanted, MAX_CANDIDATE_POINTS)

    def _read(self, points: Iterable[int | UUID | str]) -> None:
        """Read the payloads of those points that no lane has found before."""
        if new := [point for point in points if point not in self._told]:
            records = self._shard.retrieve(new, with_payload=list(TOLD), with_vector=False)
            self._told.update((record.id, told(record.payload)) for record in records)


def condition(where: Mapping[str, Any]) -> edge.Filter:
    """Return what a point must satisfy, as Edge puts it."""
    must: list[Any] = [holds(NAMESPACE, where["namespace"])]
    must += [holds(field, word) for field, words in where["has_all"].items() for word in words]
    must += [_bound(field, edge.RangeFloat(gte=number)) for field, number in where["at_least"].items()]
    must += [_bound(field, edge.RangeFloat(lte=number)) for field, number in where["at_most"].items()]
    # `except` nothing matches any word at all, so that an empty list admits only items without the field.
    must_not: list[Any] = [
        edge.FieldCondition(key=field, match=edge.MatchExcept(list(words)))
        for field, words in where["subset_of"].items()
    ]
    must_not += [_bound(field, edge.RangeFloat(lte=number)) for field, number in where["not_expired_by"].items()]
    return edge.Filter(must=must, must_not=must_not)


def holds(field: str, word: str) -> edge.FieldCondition:
    """Have a field hold this word."""
    return edge.FieldCondition(key=field, match=edge.MatchValue(word))


def _bound(field: str, bound: edge.RangeFloat) -> edge.FieldCondition:
    return edge.FieldCondition(key=field, range=bound)


def one_of(items: Iterable[str]) -> edge.FieldCondition:
    """Have a point belong to one of these items."""
    return edge.FieldCondition(key=ITEM, match=edge.MatchAny(list(items)))
