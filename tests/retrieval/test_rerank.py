"""Reranking of the first candidates."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Span
from memos_mcp.retrieval.fusion import Ranked
from memos_mcp.retrieval.rerank import RERANKED, reranked

SCORES = st.floats(-50, 50)


def candidates(count: int) -> list[Ranked]:
    return [Ranked(str(UUID(int=number)), 1 - number / 100, {"dense": 0.5}, Span(0, number)) for number in range(count)]


def test_the_first_candidates_are_ordered_by_the_rerankers_scores_and_keep_their_own() -> None:
    one, two, three = candidates(3)

    found = reranked([one, two, three], [-3.5, 7.25, 0.123456])

    assert [hit.item_id for hit in found] == [two.item_id, three.item_id, one.item_id]
    assert [hit.signals for hit in found] == [
        {"dense": 0.5, "reranker": 7.25},
        {"dense": 0.5, "reranker": 0.1235},
        {"dense": 0.5, "reranker": -3.5},
    ]
    assert [(hit.score, hit.span) for hit in found] == [(hit.score, hit.span) for hit in (two, three, one)]
    assert one.signals == {"dense": 0.5}


def test_candidates_whose_rounded_scores_are_equal_keep_their_order() -> None:
    three = candidates(3)

    assert [hit.item_id for hit in reranked(three, [0.5, 0.50000001, 0.5])] == [hit.item_id for hit in three]


def test_no_candidates_stay_no_candidates() -> None:
    assert reranked([], []) == []


@pytest.mark.parametrize("given_scores", [RERANKED - 1, RERANKED + 1])
def test_each_of_the_first_candidates_must_have_a_score(given_scores: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        reranked(candidates(RERANKED + 5), [1.0] * given_scores)


@given(
    st.integers(0, RERANKED * 2).flatmap(
        lambda count: st.tuples(
            st.just(count), st.lists(SCORES, min_size=min(count, RERANKED), max_size=min(count, RERANKED))
        )
    )
)
def test_only_the_first_candidates_move_and_none_is_lost(drawn: tuple[int, list[float]]) -> None:
    count, scores = drawn
    before = candidates(count)

    after = reranked(before, scores)

    shown = [hit.signals["reranker"] for hit in after[:RERANKED]]
    assert after[RERANKED:] == before[RERANKED:]
    assert sorted(hit.item_id for hit in after) == [hit.item_id for hit in before]
    assert shown == sorted(shown, reverse=True)
