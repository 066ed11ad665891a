"""Completes the lanes of a search: what any lane proposes has its score in every lane. Does no I/O."""

from array import array
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast

from memos_mcp.domain.index import Group, Lanes, Match, Shape, Span
from memos_mcp.qdrant.points import BM25, DENSE, RESULT_FIELDS, fields_of

PARSED_POINTS: Final = 16_384
"""Points that are kept parsed, in some 10 MB: to parse the 100 points of a search takes 0.1 ms."""


FoundPoint: TypeAlias = str
"""A point that a query found, in the form that is sent: its item, span and group, separated by spaces.

Only the last part, the words of a file, may have spaces itself."""

PointRow: TypeAlias = tuple[FoundPoint, float]
"""A point that a query found, and its score."""

MIN_SHARE: Final = 10
"""Items that each question may propose, however many questions there are."""

MAX_CANDIDATE_POINTS: Final = 4_096

Rounds: TypeAlias = Generator[list["LaneQuery"], Sequence[Sequence[PointRow]], list[list[PointRow]]]


def comparable(models: Iterable[str | None], opened_for: Shape | None, shape: Shape) -> bool:
    """Whether vectors of these models can be compared in a generation of this shape; None is the configured model."""
    return all(opened_for == shape if model is None else model == shape.model for model in models)


@dataclass(frozen=True, slots=True)
class LaneQuery:
    """A query of one lane for one question.

    vector: dense or sparse, as the lane needs it.  limit: the number of nearest points to return.
    items: the only items to score, instead of all that the search's filter admits.
    """

    question: int
    lane: str
    vector: Any
    limit: int
    items: Sequence[str] = ()


class LaneCompletion:
    """The queries of one search: answer each `batch` with `receive` until it is empty, then read `answers`.

    First each lane proposes items, then each scores the items that only others proposed. A query is repeated with
    twice as many points for as long as several passages of one item leave too few items.
    """

    def __init__(self, questions: Sequence[tuple[Any, Any]], limit: int) -> None:
        """Each question is its dense vector, if there is one, and the sparse vector of its words."""
        self._queries = list(_lane_queries(questions, limit))
        self._rounds = _complete(self._queries)
        self.answers: list[dict[str, list[PointRow]]] = [{DENSE: [], BM25: []} for _ in questions]
        self.batch = next(self._rounds, [])

    def receive(self, found: Sequence[Sequence[PointRow]]) -> None:
        """Take the points of each query of the batch, best first, and prepare the next batch."""
        try:
            self.batch = self._rounds.send(found)
        except StopIteration as complete:
            self.batch = []
            for query, rows in zip(self._queries, complete.value, strict=True):
                self.answers[query.question][query.lane] = rows


def shares(questions: int, limit: int) -> list[int]:
    """Return how many items each question may propose: the first `limit`, those after it together about as many.

    If each sentence of a question had the whole limit, most of the time would be spent on scoring irrelevant items.
    """
    others = questions - 1
    return [limit, *(max(MIN_SHARE, limit // others) for _ in range(others))]


class NumberedAnswers(NamedTuple):
    """The answers of a search in the form that is sent: the lanes find much the same points, so each is there once.

    points: each point once.  lanes: for each question and lane, the positions in `points`, best first.
    scores: those of all lanes one after the other, as 32-bit floats, which is what Qdrant computes.
    """

    points: Sequence[FoundPoint]
    lanes: Sequence[Mapping[str, Sequence[int]]]
    scores: "array[float]"


def found_point(payload: Mapping[str, Any] | None) -> FoundPoint:
    """Return a point with the `RESULT_FIELDS` of its payload."""
    item, start, end, group = fields_of(payload, RESULT_FIELDS)
    return " ".join((item, str(start), str(end), *(group or ())))


@lru_cache(PARSED_POINTS)
def _parsed(point: FoundPoint) -> tuple[str, Span, Group | None]:
    item, start, end, *group = point.split(" ", 5)
    return item, Span(int(start), int(end)), Group(*cast("tuple[Any, str]", group)) if group else None


def numbered(answers: Iterable[Mapping[str, Iterable[PointRow]]]) -> NumberedAnswers:
    """Return what `to_lanes` needs."""
    positions: dict[FoundPoint, int] = {}
    lanes: list[dict[str, list[int]]] = []
    scores = array("f")
    for answer in answers:
        lanes.append({})
        for lane, rows in answer.items():
            lanes[-1][lane] = [positions.setdefault(point, len(positions)) for point, _ in rows]
            scores.extend(score for _, score in rows)
    return NumberedAnswers(list(positions), lanes, scores)


def to_lanes(answers: NumberedAnswers) -> list[Lanes]:
    """Return the answers as the port's lanes."""
    found = [_parsed(point) for point in answers.points]
    scores = iter(answers.scores)

    def matches(positions: Iterable[int]) -> list[Match]:
        return [Match(item, next(scores), span, group) for item, span, group in map(found.__getitem__, positions)]

    return [Lanes(**{lane: matches(positions) for lane, positions in answer.items()}) for answer in answers.lanes]


def _lane_queries(questions: Sequence[tuple[Any, Any]], limit: int) -> Iterable[LaneQuery]:
    """Yield the queries of each question; none of the BM25 lane if only stop words and signs were asked."""
    share = shares(len(questions), limit)
    for number, (vector, words) in enumerate(questions):
        if vector is not None:
            yield LaneQuery(number, DENSE, vector, share[number])
        if words.indices:
            yield LaneQuery(number, BM25, words, share[number])


def _complete(queries: Sequence[LaneQuery]) -> Rounds:
    """Return the rows of each query, best first: what it proposes, then what only others proposed."""
    proposed = yield from _nearest(queries)
    missing = _missing(queries, proposed)
    restricted = [
        replace(query, limit=len(items), items=items) for query, items in zip(queries, missing, strict=True) if items
    ]
    scored = iter((yield from _nearest(restricted)))
    return [[*rows, *(next(scored) if items else ())] for rows, items in zip(proposed, missing, strict=True)]


def _nearest(queries: Sequence[LaneQuery]) -> Rounds:
    """Return, for each query, the best point of each of up to `limit` items, best first."""
    rows: list[list[PointRow]] = [[] for _ in queries]
    pending = dict(enumerate(queries))
    while pending:
        found = yield list(pending.values())
        wider: dict[int, LaneQuery] = {}
        for (number, query), points in zip(pending.items(), found, strict=True):
            limit = queries[number].limit
            rows[number] = _best_rows(points, limit)
            if len(rows[number]) < limit and len(points) == query.limit < MAX_CANDIDATE_POINTS:
                wider[number] = replace(query, limit=min(2 * query.limit, MAX_CANDIDATE_POINTS))
        pending = wider
    return rows


def _item(point: FoundPoint) -> str:
    return point.partition(" ")[0]


def _best_rows(points: Iterable[PointRow], limit: int) -> list[PointRow]:
    """Keep each item's first row, in the order given, of up to `limit` items."""
    best: dict[str, PointRow] = {}
    for row in points:
        if len(best) == limit:
            break
        best.setdefault(_item(row[0]), row)
    return list(best.values())


def _missing(queries: Sequence[LaneQuery], proposed: Sequence[Sequence[PointRow]]) -> list[list[str]]:
    """Return, for each query, the items that only others proposed.

    A BM25 query that returned fewer items than its limit misses none: other items share no word with it. A dense
    query may have stopped at `MAX_CANDIDATE_POINTS`, and has a score for every item.
    """
    own = [dict.fromkeys(_item(point) for point, _ in rows) for rows in proposed]
    items = dict.fromkeys(item for held in own for item in held)
    return [
        [item for item in items if item not in held] if query.lane == DENSE or len(held) >= query.limit else []
        for query, held in zip(queries, own, strict=True)
    ]
