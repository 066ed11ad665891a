"""The weights of words in passages and questions."""

import pytest
from qdrant_edge import SparseVector

from memos_mcp.qdrant.bm25 import WordVectors

WORDS = WordVectors()


def weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def weight_of(word: str, *weighted_texts: tuple[str, float]) -> float:
    """Return what a word weighs in a passage that is found by these weighted_texts."""
    [index] = WORDS.question(word).indices
    return weights(WORDS.passage("memory", weighted_texts)).get(index, 0.0)


def test_an_identifier_is_found_by_its_parts_and_the_parts_by_the_identifier() -> None:
    passage = weights(WORDS.passage("memory", [("class RetryPolicy: waits", 1.0)]))

    assert set(WORDS.question("retry policy").indices) <= set(passage)
    assert set(WORDS.question("RetryPolicy").indices) & set(
        weights(WORDS.passage("memory", [("a policy to retry", 1.0)]))
    )


def test_a_neighbour_s_word_counts_less_than_the_passage_s_own() -> None:
    passage = ("the boat is red", 1.0), ("who painted the fence", 0.5)

    assert weight_of("fence", *passage) == pytest.approx(0.5 * weight_of("fence", ("who painted the fence", 1.0)))
    assert weight_of("boat", *passage) == weight_of("boat", passage[0])


def test_a_word_in_several_texts_has_its_greatest_weight() -> None:
    own = ("Ann: the boat is red", 1.0)
    others = [("Ann: who painted it", 0.7), ("Ann: it was blue", 0.6)]

    assert weight_of("Ann", own, *others) == weight_of("Ann", own)


def test_a_passage_without_words_has_an_empty_vector() -> None:
    assert weights(WORDS.passage("memory", [])) == {}
    assert weights(WORDS.passage("memory", [("", 1.0), ("the", 0.5)])) == {}
