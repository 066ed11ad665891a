"""Searches one shard. Imported by the index process only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import qdrant_edge as edge

from memos_mcp.qdrant.lanes import LaneCompletion, LaneQuery, PointRow
from memos_mcp.qdrant.points import BM25, DENSE, ITEM, NAMESPACE, OVERSAMPLING, RESULT_FIELDS, fields_of

_DENSE: Final = edge.SearchParams(
    quantization=edge.QuantizationSearchParams(ignore=False, rescore=True, oversampling=OVERSAMPLING)
)
"""A graph is searched by the 8-bit copies of the vectors: with 200,000 points in half the time at the same recall."""


def search_shard(
    shard: edge.EdgeShard,
    questions: Sequence[tuple[list[float] | None, edge.SparseVector]],
    where: Mapping[str, Any],
    limit: int,
    *,
    weighted: bool,
) -> list[dict[str, list[PointRow]]]:
    """Return the rows of each question by lane, best first; a question is its dense vector and that of its words.

    weighted: whether the weights of words in the shard are those of the namespace.
    """
    reader = _PointReader(shard, where, weighted=weighted)
    completion = LaneCompletion(questions, limit)
    while completion.batch:
        completion.receive([reader.nearest(query) for query in completion.batch])
    return completion.answers


class _PointReader:
    """Answers the queries of one search. Lanes find much the same points, so each point's payload is read once.

    With 8,400 points, 50 nearest cost 0.14 ms without their payloads and 0.75 ms with them.
    """

    def __init__(self, shard: edge.EdgeShard, where: Mapping[str, Any], *, weighted: bool) -> None:
        self._shard = shard
        self._filter = _filter(where)
        # The corpus makes a word's weight depend on its own namespace only: other namespaces do not change it, and
        # it reveals nothing of them. It costs 4 ms a query in a namespace of 200,000, so it is omitted where the
        # weights are the same without it.
        corpus = edge.Filter(must=[has_word(NAMESPACE, where["namespace"])])
        self._params = {
            BM25: edge.SearchParams(idf=None if weighted else edge.IdfParams(corpus=corpus)),
            DENSE: _DENSE,
        }
        self._fields: dict[int | UUID | str, list[Any]] = {}

    def nearest(self, query: LaneQuery) -> list[PointRow]:
        found = self._shard.query(
            edge.QueryRequest(
                query=edge.Query.Nearest(query.vector, using=query.lane),
                limit=query.limit,
                filter=edge.Filter(must=[one_of(query.items)]) if query.items else self._filter,
                params=self._params[query.lane],
                with_payload=False,
            )
        )
        scores = [(point.id, point.score) for point in found]  # each access to an id makes a new object
        self._read([point for point, _ in scores])
        return [(*self._fields[point], score) for point, score in scores]

    def _read(self, points: Iterable[int | UUID | str]) -> None:
        """Read the payloads of those points that no query has found before."""
        if new := [point for point in points if point not in self._fields]:
            records = self._shard.retrieve(new, with_payload=list(RESULT_FIELDS), with_vector=False)
            self._fields.update((record.id, fields_of(record.payload, RESULT_FIELDS)) for record in records)


def _filter(where: Mapping[str, Any]) -> edge.Filter:
    must: list[Any] = [has_word(NAMESPACE, where["namespace"])]
    must += [has_word(field, word) for field, words in where["has_all"].items() for word in words]
    must += [in_range(field, edge.RangeFloat(gte=number)) for field, number in where["at_least"].items()]
    must += [in_range(field, edge.RangeFloat(lte=number)) for field, number in where["at_most"].items()]
    # An empty `except` list matches any word, so it admits only items without the field.
    must_not: list[Any] = [
        edge.FieldCondition(key=field, match=edge.MatchExcept(list(words)))
        for field, words in where["subset_of"].items()
    ]
    must_not += [in_range(field, edge.RangeFloat(lte=number)) for field, number in where["not_expired_by"].items()]
    return edge.Filter(must=must, must_not=must_not)


def has_word(field: str, word: str) -> edge.FieldCondition:
    """Match points whose field holds this word."""
    return edge.FieldCondition(key=field, match=edge.MatchValue(word))


def one_of(items: Iterable[str]) -> edge.FieldCondition:
    """Match points of these items."""
    return edge.FieldCondition(key=ITEM, match=edge.MatchAny(list(items)))


def in_range(field: str, bounds: edge.RangeFloat) -> edge.FieldCondition:
    """Match points whose field is a number within these bounds."""
    return edge.FieldCondition(key=field, range=bounds)
