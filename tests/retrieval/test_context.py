import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Vector
from memos_mcp.retrieval.context import (
    BLEND,
    HALVED_AFTER_WORDS,
    MAX_CHARS,
    MAX_WEIGHT,
    MIN_WEIGHT,
    blend,
    weigh_neighbours,
)

MESSAGES = st.lists(st.integers(0, 90).map("word ".__mul__), max_size=6)
WEIGHTS = st.floats(0.01, MAX_WEIGHT)


def unit(angle: float) -> Vector:
    return np.array([math.cos(angle), math.sin(angle)], np.float32)


def cosine(one: Vector, other: Vector) -> float:
    return float(one @ other) / (math.hypot(*one) * math.hypot(*other))


@given(MESSAGES, MESSAGES)
def test_a_neighbour_counts_less_the_more_words_are_in_between(before: list[str], after: list[str]) -> None:
    found = weigh_neighbours(before, after)

    for side in (weigh_neighbours(before, []), weigh_neighbours([], after)):
        assert all(one.weight >= other.weight for one, other in pairwise(side))
        assert all(MIN_WEIGHT <= one.weight <= MAX_WEIGHT for one in side)
    assert found == [*weigh_neighbours(before, []), *weigh_neighbours([], after)]


@given(MESSAGES)
def test_both_sides_are_weighed_equally_and_independently(texts: list[str]) -> None:
    found = weigh_neighbours(texts, texts)

    assert found[: len(found) // 2] == found[len(found) // 2 :]


def test_a_neighbour_counts_by_the_words_up_to_its_middle() -> None:
    short, long = "yes", "word " * 39

    [first, second] = weigh_neighbours([long, short], [])

    assert first.weight == pytest.approx(MAX_WEIGHT * 0.5 ** (19.5 / HALVED_AFTER_WORDS))
    assert second.weight == pytest.approx(MAX_WEIGHT * 0.5 ** (39.5 / HALVED_AFTER_WORDS))


def test_a_long_neighbour_is_left_out_with_those_behind_it() -> None:
    long, near = "word " * 300, "a few words"

    assert [one.text for one in weigh_neighbours([near, long, "behind"], [long, "behind"])] == [near]


def test_a_neighbour_without_spaces_counts_by_its_characters() -> None:
    [short], [longer] = weigh_neighbours(["服务器"], []), weigh_neighbours(["服务器在地下室。" * 10], [])
    assert longer.weight < short.weight < MAX_WEIGHT
    assert weigh_neighbours(["服务器在地下室。" * 100], []) == []


@pytest.mark.parametrize("text", ["京" * MAX_CHARS, "0f" * (MAX_CHARS // 2), "a_long_identifier_of_code " * 80])
def test_a_neighbour_that_may_be_cut_is_left_out_even_with_few_words(text: str) -> None:
    assert weigh_neighbours([text[-MAX_CHARS:]], [text[:MAX_CHARS]]) == []


def test_a_memory_without_others_has_no_neighbours() -> None:
    assert weigh_neighbours([], []) == []


def test_a_vector_without_neighbours_is_unchanged() -> None:
    assert blend(unit(0.6), []).tolist() == unit(0.6).tolist()


@given(st.floats(0.1, 3.0), WEIGHTS)
def test_a_blended_vector_is_nearer_to_its_neighbour_and_nearest_to_itself(angle: float, weight: float) -> None:
    own, other = unit(0), unit(angle)

    moved = blend(own, [(other, weight)])

    assert cosine(moved, other) > cosine(own, other)
    assert cosine(moved, own) > cosine(moved, other)


@given(WEIGHTS, WEIGHTS)
def test_a_vector_is_blended_with_each_neighbour_by_its_weight(one: float, other: float) -> None:
    less, more = sorted([one, other])
    own, to_less, to_more = np.eye(3, dtype=np.float32)

    moved = blend(own, [(to_less, less), (to_more, more)])

    assert moved.tolist() == pytest.approx([1.0, BLEND * less, BLEND * more])


def test_blending_does_not_change_its_arguments() -> None:
    own, other = np.eye(2, dtype=np.float32)

    blend(own, [(other, 0.5)])

    assert (own.tolist(), other.tolist()) == ([1.0, 0.0], [0.0, 1.0])
