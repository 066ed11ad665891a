"""What the index process knows of the points of a shard without asking it. Imported by the index process only."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, Final, cast
from uuid import UUID

import qdrant_edge as edge

from memos_mcp.qdrant.edge.conditions import in_range
from memos_mcp.qdrant.lanes import FoundPoint, found_point
from memos_mcp.qdrant.points import NAMESPACE, RESULT_FIELDS

MAX_CACHED_POINTS: Final = 250_000
"""Points whose `RESULT_FIELDS` are kept, in some 70 MB: to read those of 100 points takes 1 ms, a third of a search."""

READ_AHEAD_POINTS: Final = 200
"""Points that are read ahead at a time, in some 2 ms, for which a search may have to wait."""


class ShardContents:
    """Answers for a shard whether a filter's condition holds for all points, and what points hold.

    A condition is checked for each point that a search reaches: the namespace costs a third of a scan of 10,000 points,
    though most indexes hold one only, and the time of expiry a tenth, though most points have none.
    """

    def __init__(self) -> None:
        """Describe an empty shard."""
        self._namespaces: set[str] = set()
        self._minimum: dict[str, float] = {}
        self._found: OrderedDict[int, FoundPoint] = OrderedDict()
        self._all_read = True
        self._next_page: int | UUID | str | None = None

    def load(self, shard: edge.EdgeShard) -> None:
        """Describe an existing shard; it takes some 20 ms with 200,000 points."""
        # Two suffice to know that there are several.
        self._namespaces = {str(hit.value) for hit in shard.facet(edge.FacetRequest(NAMESPACE, 2)).hits}
        self._all_read = False

    @property
    def all_read(self) -> bool:
        """Whether there is nothing more to read ahead."""
        return self._all_read or len(self._found) >= MAX_CACHED_POINTS

    def read_ahead(self, shard: edge.EdgeShard) -> None:
        """Read the `RESULT_FIELDS` of a page of points before a search finds them."""
        records, self._next_page = shard.scroll(
            edge.ScrollRequest(
                offset=self._next_page, limit=READ_AHEAD_POINTS, with_payload=list(RESULT_FIELDS), with_vector=False
            )
        )
        self._keep(records)
        self._all_read = self._next_page is None

    @contextmanager
    def writing(self, points: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[None]:
        """Take note of points, given by id and payload, that are written while the context is open."""
        numbers = [int(point.replace("-", ""), 16) for point, _ in points]
        for number, (_, payload) in zip(numbers, points, strict=True):
            self._namespaces.add(payload[NAMESPACE])
            for field, minimum in self._minimum.items():
                self._minimum[field] = min(minimum, payload.get(field, inf))
            self._found.pop(number, None)
        yield
        self._found.update(zip(numbers, (found_point(payload) for _, payload in points), strict=True))
        self._forget_oldest()

    def only(self, namespace: str) -> bool:
        """Whether all points are of this namespace."""
        return self._namespaces <= {namespace}

    def has_up_to(self, shard: edge.EdgeShard, field: str, number: float) -> bool:
        """Whether a point may have so small a number in this field."""
        if field not in self._minimum:
            having = edge.Filter(must=[in_range(field, edge.RangeFloat(gte=-inf))])
            self._minimum[field] = -inf if shard.count(edge.CountRequest(exact=True, filter=having)) else inf
        return self._minimum[field] <= number

    def found(self, shard: edge.EdgeShard, points: Sequence[UUID]) -> list[FoundPoint]:
        """Return points with their `RESULT_FIELDS`, read from the shard where they are not known."""
        try:
            return [self._found[point.int] for point in points]  # the hash of a UUID is computed in Python
        except KeyError:
            unknown: list[int | UUID | str] = [point for point in points if point.int not in self._found]
            self._keep(shard.retrieve(unknown, with_payload=list(RESULT_FIELDS), with_vector=False))
            found = [self._found[point.int] for point in points]
            self._forget_oldest()
            return found

    def _keep(self, records: Iterable[edge.Record]) -> None:
        for record in records:
            self._found[uuid_of(record).int] = found_point(record.payload)

    def _forget_oldest(self) -> None:
        while len(self._found) > MAX_CACHED_POINTS:
            self._found.popitem(last=False)


def uuid_of(point: edge.Record | edge.ScoredPoint) -> UUID:
    """Return the id of a point; all points have UUIDs."""
    return cast("UUID", point.id)
