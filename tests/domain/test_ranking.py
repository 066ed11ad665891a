from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Lanes, Match, Span
from memos_mcp.domain.ranking import fuse, lexical, round_robin

A, B, C = (UUID(int=number) for number in (1, 2, 3))
HERE = Span(0, 1)


def lane(scores: st.SearchStrategy[float]) -> st.SearchStrategy[list[Match]]:
    found = st.dictionaries(st.integers(0, 12).map(lambda number: UUID(int=number)), scores, max_size=8)
    return found.map(
        lambda by_item: sorted(
            (Match(item, score, Span(0, item.int)) for item, score in by_item.items()), key=lambda match: -match.score
        )
    )


COSINES = lane(st.floats(-1, 1))
WORD_SCORES = lane(st.floats(0, 80))


@given(COSINES, WORD_SCORES, WORD_SCORES)
def test_every_candidate_is_ranked_once_with_a_score_from_0_to_1(
    dense: list[Match], bm25: list[Match], waiting: list[Match]
) -> None:
    ranked = fuse(Lanes(dense, bm25), waiting)

    assert len(ranked) == len({hit.item_id for hit in ranked})
    assert {hit.item_id for hit in ranked} == {match.item_id for match in (*dense, *bm25, *waiting)}
    assert all(0 <= hit.score <= 1 for hit in ranked)
    assert [hit.score for hit in ranked] == sorted((hit.score for hit in ranked), reverse=True)


@given(COSINES, WORD_SCORES)
def test_the_order_of_the_candidates_does_not_matter(dense: list[Match], bm25: list[Match]) -> None:
    assert fuse(Lanes(dense[::-1], bm25[::-1])) == fuse(Lanes(dense, bm25))


@given(COSINES, WORD_SCORES)
def test_an_item_at_least_as_good_in_both_lanes_is_never_behind(dense: list[Match], bm25: list[Match]) -> None:
    cosines = {match.item_id: match.score for match in dense}
    words = {match.item_id: match.score for match in bm25}
    both = cosines.keys() & words.keys()

    scores = {hit.item_id: hit.score for hit in fuse(Lanes(dense, bm25))}

    for one in both:
        for other in both:
            if cosines[one] >= cosines[other] and words[one] >= words[other]:
                assert scores[one] >= scores[other]


@given(COSINES, WORD_SCORES, st.floats(0.5, 100))
def test_the_scale_of_the_word_scores_does_not_matter(dense: list[Match], bm25: list[Match], factor: float) -> None:
    scaled = [Match(match.item_id, match.score * factor, match.span) for match in bm25]

    before, after = fuse(Lanes(dense, bm25)), fuse(Lanes(dense, scaled))

    assert {hit.item_id: hit.score for hit in after} == pytest.approx(
        {hit.item_id: hit.score for hit in before}, abs=1.1e-4
    )


def test_nothing_found_is_an_empty_answer() -> None:
    assert fuse(Lanes()) == []
    assert lexical([]) == []


def test_the_best_in_both_lanes_scores_its_cosine() -> None:
    [best, *_] = fuse(Lanes([Match(A, 0.8, HERE), Match(B, 0.2, HERE)], [Match(A, 9.0, HERE)]))

    assert (best.item_id, best.score) == (A, 0.8)


def test_a_hit_says_what_each_lane_gave() -> None:
    [hit] = fuse(Lanes([Match(A, 0.51239, Span(10, 20))], [Match(A, 7.0, Span(30, 40))]), [Match(A, 0.1, Span(50, 60))])

    assert hit.signals == {"dense": 0.5124, "bm25": 7.0, "text": 0.1}


def test_the_passage_shown_is_that_of_the_lane_which_speaks_louder() -> None:
    meaning, words = Span(10, 20), Span(30, 40)
    dense = [Match(A, 0.9, meaning), Match(B, 0.4, meaning), Match(C, 0.1, meaning)]
    bm25 = [Match(B, 8.0, words), Match(A, 2.0, words), Match(C, 0.5, words)]

    shown = {hit.item_id: hit.span for hit in fuse(Lanes(dense, bm25))}

    assert shown == {A: meaning, B: words, C: words}


def test_what_waits_for_the_index_is_ranked_among_the_rest() -> None:
    ranked = fuse(Lanes([Match(A, 0.6, HERE), Match(B, 0.1, HERE)], [Match(B, 2.0, HERE)]), [Match(C, 0.3, HERE)])

    assert C in [hit.item_id for hit in ranked]
    assert next(hit for hit in ranked if hit.item_id == C).score == 0.3


def test_words_alone_are_ordered_by_their_rank_and_the_best_scores_1() -> None:
    ranked = lexical([Match(B, 0.1, HERE), Match(A, 0.1, HERE), Match(C, 0.4, HERE)])

    assert [(hit.item_id, hit.score) for hit in ranked] == [(C, 1.0), (A, 0.25), (B, 0.25)]


RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=8), max_size=5)


@given(RANKINGS)
def test_round_robin_keeps_every_item_once(rankings: list[list[int]]) -> None:
    merged = round_robin(rankings, key=lambda item: item)

    assert sorted(merged) == sorted({item for ranking in rankings for item in ranking})


@given(RANKINGS)
def test_round_robin_puts_every_best_before_any_second(rankings: list[list[int]]) -> None:
    merged = round_robin(rankings, key=lambda item: item)

    for depth in range(8):
        down_to_here = {item for ranking in rankings for item in ranking[: depth + 1]}
        assert set(merged[: len(down_to_here)]) == down_to_here


def test_round_robin_keeps_the_first_of_two_with_one_key() -> None:
    assert round_robin([["Apple", "pear"], ["apple", "Fig"]], key=str.lower) == ["Apple", "pear", "Fig"]
