"""Searches one shard. Imported by the index process only."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import qdrant_edge as edge

from memos_mcp.qdrant.edge.conditions import has_word, in_range, one_of
from memos_mcp.qdrant.edge.contents import ShardContents, uuid_of
from memos_mcp.qdrant.lanes import LaneCompletion, LaneQuery, PointRow
from memos_mcp.qdrant.points import BM25, DENSE, NAMESPACE, OVERSAMPLING

EF_SEARCH: Final = 200
"""Points that a search keeps in view in the graph. Of the 50 nearest of 100,000 lines of source code it finds 98.7 % in
0.5 ms; with Qdrant's default, which is `EF_CONSTRUCT`, 97.0 % in 0.4 ms."""

_DENSE: Final = edge.SearchParams(
    hnsw_ef=EF_SEARCH, quantization=edge.QuantizationSearchParams(ignore=False, rescore=True, oversampling=OVERSAMPLING)
)
"""The 8-bit copies of the vectors are searched: a graph of 200,000 points in half the time, at the same recall."""

_FEW: Final = edge.SearchParams(quantization=edge.QuantizationSearchParams(ignore=True))
"""To score a few given items, the vectors themselves are read: reading the copies first takes a seventh longer."""


def search_shard(
    shard: edge.EdgeShard,
    contents: ShardContents,
    questions: Sequence[tuple[list[float] | None, edge.SparseVector]],
    where: Mapping[str, Any],
    limit: int,
    *,
    weighted: bool,
) -> list[dict[str, list[PointRow]]]:
    """Return the rows of each question by lane, best first; a question is its dense vector and that of its words.

    weighted: whether the weights of words in the shard are those of the namespace.
    """
    reader = _PointReader(shard, contents, where, weighted=weighted)
    completion = LaneCompletion(questions, limit)
    while completion.batch:
        completion.receive(reader.nearest(completion.batch))
    return completion.answers


class _PointReader:
    """Answers the queries of one search.

    With 8,400 points, 50 nearest cost 0.14 ms without their payloads and 0.75 ms with them. The lanes find much the
    same points, so payloads are read separately, and once.
    """

    def __init__(
        self, shard: edge.EdgeShard, contents: ShardContents, where: Mapping[str, Any], *, weighted: bool
    ) -> None:
        self._shard = shard
        self._contents = contents
        self._filter = _filter(where, contents, shard)
        # The corpus makes a word's weight depend on its own namespace only: other namespaces do not change it, and
        # it reveals nothing of them. It costs 4 ms a query in a namespace of 200,000, so it is omitted where the
        # weights are the same without it.
        corpus = edge.Filter(must=[has_word(NAMESPACE, where["namespace"])])
        self._params = {
            BM25: edge.SearchParams(idf=None if weighted else edge.IdfParams(corpus=corpus)),
            DENSE: _DENSE,
        }

    def nearest(self, queries: Sequence[LaneQuery]) -> list[list[PointRow]]:
        # One after the other, the two lanes take an eighth longer.
        found = self._shard.query_batch(edge.QueryBatchRequest([self._request(query) for query in queries]))
        rows = iter(self._contents.found(self._shard, [uuid_of(point) for points in found for point in points]))
        return [[(next(rows), point.score) for point in points] for points in found]

    def _request(self, query: LaneQuery) -> edge.QueryRequest:
        return edge.QueryRequest(
            query=edge.Query.Nearest(query.vector, using=query.lane),
            limit=query.limit,
            filter=edge.Filter(must=[one_of(query.items)]) if query.items else self._filter,
            params=_FEW if query.items and query.lane == DENSE else self._params[query.lane],
            with_payload=False,
        )


def _filter(where: Mapping[str, Any], contents: ShardContents, shard: edge.EdgeShard) -> edge.Filter | None:
    """Return the conditions that not all points of the shard meet; an empty filter would cost a sixth of a scan."""
    must: list[Any] = [] if contents.only(where["namespace"]) else [has_word(NAMESPACE, where["namespace"])]
    must += [has_word(field, word) for field, words in where["has_all"].items() for word in words]
    must += [in_range(field, edge.RangeFloat(gte=number)) for field, number in where["at_least"].items()]
    must += [in_range(field, edge.RangeFloat(lte=number)) for field, number in where["at_most"].items()]
    # An empty `except` list matches any word, so it admits only items without the field.
    must_not: list[Any] = [
        edge.FieldCondition(key=field, match=edge.MatchExcept(list(words)))
        for field, words in where["subset_of"].items()
    ]
    must_not += [
        in_range(field, edge.RangeFloat(lte=number))
        for field, number in where["not_expired_by"].items()
        if contents.has_up_to(shard, field, number)
    ]
    return edge.Filter(must=must, must_not=must_not) if must or must_not else None
