from collections.abc import Mapping, Sequence
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import ITEM_KINDS, ItemKind, Lanes, Match, Span
from memos_mcp.retrieval.fusion import (
    QUEUED_BM25,
    WORD_WEIGHT,
    Ranked,
    fuse,
    lexical,
    round_robin,
)

A, B, C, D = (UUID(int=number) for number in (1, 2, 3, 4))
HERE, MEANING, WORDS = Span(0, 1), Span(10, 20), Span(30, 40)
WEIGHT = WORD_WEIGHT["memory"]

KINDS = st.sampled_from(ITEM_KINDS)
COSINES, WORD_SCORES = st.floats(-1, 1), st.floats(0, 80)


def lane(scores: Mapping[UUID, float], span: Span = HERE) -> list[Match]:
    return sorted((Match(str(item), score, span) for item, score in scores.items()), key=lambda match: -match.score)


def lanes(dense: Mapping[UUID, float] | None = None, bm25: Mapping[UUID, float] | None = None) -> Lanes:
    return Lanes(lane(dense or {}), lane(bm25 or {}))


def strengths(ranked: Sequence[Ranked]) -> dict[UUID, float]:
    return {hit.item_id: hit.strength for hit in ranked}


def order(ranked: Sequence[Ranked]) -> list[UUID]:
    return [hit.item_id for hit in ranked]


def scored(items: st.SearchStrategy[UUID], scores: st.SearchStrategy[float]) -> st.SearchStrategy[list[Match]]:
    """Lanes in which each item has a passage of its own."""
    found = st.dictionaries(items, scores, max_size=8)
    return found.map(lambda each: [match for item in each for match in lane({item: each[item]}, Span(0, item.int))])


WAITING = scored(st.integers(0, 12).map(lambda number: UUID(int=number)), st.floats(0, 2))


@st.composite
def complete_lanes(draw: st.DrawFn, min_count: int = 1, max_count: int = 4) -> list[Lanes]:
    """Every item has a cosine for every question, or none has any; and a word score where it shares a word."""
    items = draw(st.lists(st.integers(0, 7).map(lambda number: UUID(int=number)), unique=True, max_size=8))
    meaning = draw(st.booleans())
    some = scored(st.sampled_from(items), WORD_SCORES) if items else st.just([])
    return [
        Lanes([Match(str(item), draw(COSINES), Span(item.int, 99)) for item in items] if meaning else [], draw(some))
        for _ in range(draw(st.integers(min_count, max_count)))
    ]


@given(KINDS, complete_lanes(), WAITING)
def test_every_candidate_is_ranked_once_with_a_score_from_0_to_1(
    kind: ItemKind, answers: list[Lanes], waiting: list[Match]
) -> None:
    ranked = fuse(kind, answers, waiting)

    candidates = [*waiting, *(match for one in answers for match in (*one.dense, *one.bm25))]
    assert sorted(order(ranked)) == sorted({match.item_id for match in candidates})
    assert all(0 <= hit.score <= 1 for hit in ranked)
    assert [hit.score for hit in ranked] == sorted((hit.score for hit in ranked), reverse=True)


@given(KINDS, complete_lanes(), WAITING)
def test_the_order_of_the_candidates_does_not_matter(
    kind: ItemKind, answers: list[Lanes], waiting: list[Match]
) -> None:
    turned = [Lanes(one.dense[::-1], one.bm25[::-1]) for one in answers]

    assert fuse(kind, turned, waiting[::-1]) == fuse(kind, answers, waiting)


@given(KINDS, complete_lanes())
def test_the_order_of_the_sentences_does_not_matter(kind: ItemKind, answers: list[Lanes]) -> None:
    whole, *parts = answers

    assert strengths(fuse(kind, [whole, *parts[::-1]])) == strengths(fuse(kind, answers))


@given(KINDS, complete_lanes())
def test_an_item_at_least_as_good_in_every_lane_of_every_question_is_never_ranked_lower(
    kind: ItemKind, answers: list[Lanes]
) -> None:
    scores_by_lane = [
        {match.item_id: match.score for match in one} for both in answers for one in (both.dense, both.bm25)
    ]

    found = strengths(fuse(kind, answers))

    for one, other in product(found, found):
        if all(scores.get(one, 0.0) >= scores.get(other, 0.0) for scores in scores_by_lane):
            assert found[one] >= found[other]


@given(KINDS, complete_lanes(max_count=1))
def test_a_strength_is_the_cosine_and_a_constant_times_the_word_score(kind: ItemKind, answers: list[Lanes]) -> None:
    [whole] = answers
    cosines = {match.item_id: match.score for match in whole.dense}
    words = {match.item_id: match.score for match in whole.bm25}

    for item, strength in strengths(fuse(kind, answers)).items():
        assert strength == pytest.approx(cosines.get(item, 0.0) + WORD_WEIGHT[kind] * words.get(item, 0.0))


@given(KINDS, complete_lanes(min_count=2))
def test_the_best_of_the_sentences_counts_as_much_as_the_whole_question(kind: ItemKind, answers: list[Lanes]) -> None:
    whole, *parts = (strengths(fuse(kind, [one])) for one in answers)

    for item, strength in strengths(fuse(kind, answers)).items():
        best = max((part[item] for part in parts if item in part), default=0.0)
        has_parts = any(parts)
        assert strength == pytest.approx((whole.get(item, 0.0) + best) / 2 if has_parts else whole[item])


def test_an_item_that_answers_a_sentence_well_is_ranked_above_one_that_fits_the_whole_slightly_better() -> None:
    whole = lanes({A: 0.5, B: 0.45}, {A: 3.0, B: 3.0})
    first, second = lanes({A: 0.5, B: 0.1}), lanes({A: 0.4, B: 0.8}, {B: 6.0})

    assert order(fuse("memory", [whole])) == [A, B]
    assert order(fuse("memory", [whole, first, second])) == [B, A]


def test_an_item_without_words_of_a_sentence_has_no_advantage_when_only_words_were_searched() -> None:
    ranked = fuse("memory", [lanes(bm25={A: 5.0, B: 5.0}), lanes(bm25={B: 1.0})])

    assert order(ranked) == [B, A]


def test_a_sentence_without_known_words_changes_nothing_when_only_words_were_searched() -> None:
    whole = lanes(bm25={A: 5.0, B: 2.0})

    assert fuse("tool", [whole, lanes(), lanes()]) == fuse("tool", [whole])


def test_an_answer_without_matches_is_empty() -> None:
    assert fuse("memory", [Lanes()]) == []
    assert fuse("tool", [Lanes(), Lanes()]) == []
    assert lexical([]) == []


def test_equal_items_are_ordered_by_id() -> None:
    assert order(fuse("tool", [lanes({C: 0.3, A: 0.3, B: 0.3})])) == [A, B, C]


@pytest.mark.parametrize(("strength", "score"), [(-0.4, 0.0), (0.0, 0.0), (0.2, 0.1813), (1.0, 0.6321), (2.0, 0.8647)])
def test_a_score_is_the_strength_mapped_to_0_to_1(strength: float, score: float) -> None:
    assert Ranked(str(A), strength, {}, HERE).score == score


def test_a_hit_has_a_signal_for_each_lane() -> None:
    whole = lanes({A: 0.51239}, {A: 7.0})

    [hit] = fuse("memory", [whole, lanes({A: 0.2}, {A: 10.0})], lane({A: 0.1}))

    assert hit.signals == {"dense": 0.5124, "bm25": 7.0, "text": 0.1, "part": round(0.2 + 10 * WEIGHT, 4)}


def test_the_passage_shown_is_that_of_the_lane_that_contributes_more() -> None:
    dense = lane({A: 0.9, B: 0.2, C: -0.1}, MEANING)
    bm25 = lane({B: 8.0, A: 9.0, C: 0.5}, WORDS)

    shown = {hit.item_id: hit.span for hit in fuse("memory", [Lanes(dense, bm25)])}

    assert shown == {A: MEANING, B: WORDS, C: WORDS}


def test_the_passage_shown_may_be_the_one_that_answers_a_sentence() -> None:
    whole, part = Lanes(lane({A: 0.4}, HERE)), Lanes(lane({A: 0.7}, MEANING))

    [hit] = fuse("memory", [whole, part])

    assert hit.span == MEANING


def test_queued_items_are_ranked_with_the_others_and_the_best_equals_the_best_by_words() -> None:
    indexed = lanes({A: 0.6, B: 0.1}, {A: 9.0, B: 2.0})

    ranked = fuse("memory", [indexed], lane({C: 0.3, D: 0.1}))

    assert order(ranked) == [A, C, B, D]
    assert strengths(ranked)[C] == pytest.approx(9.0 * WEIGHT)
    assert strengths(ranked)[D] == pytest.approx(3.0 * WEIGHT)


@pytest.mark.parametrize("bm25", [{}, {A: 0.0}], ids=["no words", "worthless words"])
def test_queued_items_have_a_default_word_score_when_the_index_has_none(bm25: dict[UUID, float]) -> None:
    ranked = fuse("memory", [lanes({A: 0.2}, bm25)], lane({C: 0.3}))

    assert order(ranked) == [C, A]
    assert strengths(ranked)[C] == pytest.approx(QUEUED_BM25 * WEIGHT)


def test_an_item_that_is_queued_again_keeps_the_greater_of_its_word_scores() -> None:
    indexed = lanes({A: 0.2, B: 0.3}, {A: 4.0, B: 8.0})

    found = strengths(fuse("memory", [indexed], lane({A: 0.4, B: 0.1})))

    assert found == {A: pytest.approx(0.2 + 8.0 * WEIGHT), B: pytest.approx(0.3 + 8.0 * WEIGHT)}


def test_queued_items_are_not_compared_with_sentences() -> None:
    whole, part = lanes({A: 0.1}, {A: 10.0}), lanes({A: 0.1}, {A: 10.0})

    assert strengths(fuse("memory", [whole, part], lane({C: 0.3})))[C] == pytest.approx(10.0 * WEIGHT)


def test_full_text_matches_are_ordered_by_rank_and_then_by_id() -> None:
    ranked = lexical([Match(str(B), 0.1, HERE), Match(str(A), 0.1, HERE), Match(str(C), 0.4, WORDS)])

    assert [(hit.item_id, hit.strength) for hit in ranked] == [(C, 1.0), (A, 0.25), (B, 0.25)]
    assert ranked[0].signals == {"text": 0.4}
    assert ranked[0].span == WORDS


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
