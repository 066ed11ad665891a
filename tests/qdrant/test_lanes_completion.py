"""The completion of lanes, without an index: a list of points per lane stands for one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from memos_mcp.domain.index import Group, Match, Span
from memos_mcp.qdrant.lanes import (
    MAX_CANDIDATE_POINTS,
    LaneCompletion,
    LaneQuery,
    PointRow,
    found_point,
    numbered,
    to_lanes,
)
from memos_mcp.qdrant.points import BM25, DENSE


@dataclass(frozen=True)
class Words:
    """Stands for a sparse vector."""

    indices: Sequence[int] = (1,)


NO_WORDS = Words(())
QUESTION: tuple[Any, Any] = ([1.0], Words())


def row(item: str, score: float, start: int = 0) -> PointRow:
    return f"{item} {start} {start + 1}", score


def nearest(points: Sequence[PointRow], query: LaneQuery) -> list[PointRow]:
    """Answer a query as an index does: the best points that it admits, up to its limit."""
    admitted = [point for point in points if not query.items or point[0].split()[0] in query.items]
    return sorted(admitted, key=lambda point: -point[1])[: query.limit]


def complete(
    completion: LaneCompletion, points: dict[tuple[int, str], list[PointRow]]
) -> list[list[tuple[int, str, int, list[str]]]]:
    """Answer all batches, and return each one's queries as question, lane, limit and items."""
    batches = []
    while batch := completion.batch:
        batches.append([(query.question, query.lane, query.limit, list(query.items)) for query in batch])
        completion.receive([nearest(points[query.question, query.lane], query) for query in batch])
    return batches


def items(rows: Sequence[PointRow]) -> list[str]:
    return [point.split()[0] for point, _ in rows]


def test_a_search_without_questions_has_nothing_to_ask() -> None:
    completion = LaneCompletion([], 5)
    assert (completion.batch, completion.answers) == ([], [])


def test_a_question_without_words_and_vector_has_empty_lanes() -> None:
    completion = LaneCompletion([(None, NO_WORDS)], 5)
    assert (completion.batch, completion.answers) == ([], [{DENSE: [], BM25: []}])


def test_each_question_asks_the_lanes_that_it_has_a_vector_for() -> None:
    completion = LaneCompletion([QUESTION, ([2.0], NO_WORDS), (None, Words())], 40)
    assert [(query.question, query.lane, query.limit) for query in completion.batch] == [
        (0, DENSE, 40),
        (0, BM25, 40),
        (1, DENSE, 20),
        (2, BM25, 20),
    ]
    assert [query.vector for query in completion.batch] == [[1.0], Words(), [2.0], Words()]


def test_a_lane_scores_the_items_that_only_the_other_proposed() -> None:
    completion = LaneCompletion([QUESTION], 2)
    dense = [row("a", 0.9), row("b", 0.8), row("c", 0.1)]
    bm25 = [row("c", 9.0), row("a", 5.0), row("b", 1.0)]
    batches = complete(completion, {(0, DENSE): dense, (0, BM25): bm25})
    assert batches == [
        [(0, DENSE, 2, []), (0, BM25, 2, [])],
        [(0, DENSE, 1, ["c"]), (0, BM25, 1, ["b"])],
    ]
    assert completion.answers == [{DENSE: dense, BM25: bm25}]


def test_a_lane_of_words_below_its_limit_is_not_asked_again() -> None:
    completion = LaneCompletion([QUESTION], 2)
    points = {(0, DENSE): [row("a", 0.9), row("b", 0.8)], (0, BM25): [row("a", 5.0)]}
    assert len(complete(completion, points)) == 1
    assert items(completion.answers[0][BM25]) == ["a"]


def test_a_dense_lane_below_its_limit_scores_what_words_proposed() -> None:
    completion = LaneCompletion([QUESTION], 2)
    received = completion.batch
    completion.receive([[row("a", 0.9)], [row("b", 5.0)]])
    assert [query.lane for query in received] == [DENSE, BM25]
    assert [(query.lane, list(query.items)) for query in completion.batch] == [(DENSE, ["b"])]


def test_what_one_question_proposes_is_scored_in_the_lanes_of_the_others() -> None:
    completion = LaneCompletion([QUESTION, QUESTION], 10)
    first = [row(f"a{n}", 1 - n / 100) for n in range(10)]
    second = [row(f"b{n}", 1 - n / 100) for n in range(10)]
    low = 0.01
    points = {
        (0, DENSE): [*first, *(row(one[0].split()[0], low) for one in second)],
        (0, BM25): first,
        (1, DENSE): [*second, *(row(one[0].split()[0], low) for one in first)],
        (1, BM25): second,
    }
    complete(completion, points)
    assert [items(answer[DENSE]) for answer in completion.answers] == [
        items([*first, *second]),
        items([*second, *first]),
    ]
    assert [items(answer[BM25]) for answer in completion.answers] == [items(first), items(second)]


def test_only_the_query_whose_points_are_of_too_few_items_is_widened() -> None:
    completion = LaneCompletion([QUESTION], 3)
    dense = [*(row("a", 1 - n / 100, n) for n in range(9)), row("b", 0.5), row("c", 0.4)]
    bm25 = [row("a", 3.0), row("b", 2.0), row("c", 1.0)]
    batches = complete(completion, {(0, DENSE): dense, (0, BM25): bm25})
    assert batches == [
        [(0, DENSE, 3, []), (0, BM25, 3, [])],
        [(0, DENSE, 6, [])],
        [(0, DENSE, 12, [])],
    ]
    assert completion.answers == [{DENSE: [dense[0], *dense[9:]], BM25: bm25}]


def test_scoring_particular_items_is_widened_too() -> None:
    completion = LaneCompletion([QUESTION], 2)
    dense = [row("a", 0.9), row("b", 0.8), *(row("c", 0.5 - n / 100, n) for n in range(5)), row("d", 0.1)]
    bm25 = [row("c", 9.0), row("d", 8.0)]
    batches = complete(completion, {(0, DENSE): dense, (0, BM25): bm25})
    assert [batch for batch in batches if batch[0][3]] == [
        [(0, DENSE, 2, ["c", "d"]), (0, BM25, 2, ["a", "b"])],
        [(0, DENSE, 4, ["c", "d"])],
        [(0, DENSE, 8, ["c", "d"])],
    ]
    assert items(completion.answers[0][DENSE]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("limit", "limits"),
    [(3_000, [3_000, MAX_CANDIDATE_POINTS]), (5_000, [5_000]), (MAX_CANDIDATE_POINTS, [MAX_CANDIDATE_POINTS])],
)
def test_a_query_is_not_widened_beyond_the_most_points(limit: int, limits: list[int]) -> None:
    completion = LaneCompletion([([1.0], NO_WORDS)], limit)
    batches = complete(completion, {(0, DENSE): [row("a", 1.0, n) for n in range(2 * limit)]})
    assert [points for ((_, _, points, _),) in batches] == limits
    assert completion.answers[0][DENSE] == [row("a", 1.0, 0)]


@pytest.mark.parametrize("seed", range(40))
def test_every_lane_scores_all_that_any_lane_proposed(seed: int) -> None:
    source = random.Random(seed)
    questions = [QUESTION] * source.randint(1, 4)
    limit = source.randint(1, 12)
    names = [f"item{n}" for n in range(30)]
    points = {
        (number, lane): [
            row(item, source.random(), start)
            for item in (names if lane == DENSE else source.sample(names, source.randint(0, 30)))
            for start in range(source.randint(1, 9))
        ]
        for number in range(len(questions))
        for lane in (DENSE, BM25)
    }
    completion = LaneCompletion(questions, limit)
    complete(completion, points)
    proposed = {item for answer in completion.answers for rows in answer.values() for item in items(rows)}
    for number, answer in enumerate(completion.answers):
        for lane, rows in answer.items():
            best: dict[str, PointRow] = {}
            for point in nearest(points[number, lane], LaneQuery(number, lane, None, 1_000)):
                best.setdefault(point[0].split()[0], point)
            expected = {item: point for item, point in best.items() if item in proposed}
            assert {point[0].split()[0]: point for point in rows} == expected
            assert len(rows) == len(expected)


def test_rows_become_the_matches_of_the_port() -> None:
    in_file = found_point({"item": str(UUID(int=1)), "start": 3, "end": 5, "group": ["file", "digest", "list todo"]})
    in_session = found_point({"item": str(UUID(int=2)), "start": 0, "end": 9, "group": ["session", "digest", ""]})
    alone = found_point({"item": str(UUID(int=3)), "start": 0, "end": 9})
    (lanes,) = to_lanes(numbered([{DENSE: [(in_file, 0.5), (in_session, 0.5), (alone, 0.25)], BM25: []}]))
    assert lanes.dense == [
        Match(str(UUID(int=1)), 0.5, Span(3, 5), Group("file", "digest", "list todo")),
        Match(str(UUID(int=2)), 0.5, Span(0, 9), Group("session", "digest")),
        Match(str(UUID(int=3)), 0.25, Span(0, 9)),
    ]
    assert lanes.bm25 == []


def test_a_point_of_several_lanes_is_sent_once() -> None:
    (one, _), (other, _) = row("a", 0.0), row("a", 0.0, 5)
    answers = numbered([{DENSE: [(one, 0.5), (other, 0.25)], BM25: [(other, 2.0)]}, {DENSE: [(one, 0.125)], BM25: []}])
    assert answers.points == ["a 0 1", "a 5 6"]
    assert answers.lanes == [{DENSE: [0, 1], BM25: [1]}, {DENSE: [0], BM25: []}]
    assert list(answers.scores) == [0.5, 0.25, 2.0, 0.125]
