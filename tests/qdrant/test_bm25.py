"""What the words of a text weigh."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_edge import SparseVector

from memos_mcp.qdrant.bm25 import WordVectors, spelled_out

WORDS = WordVectors()


def weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def weight_of(word: str, *wordings: tuple[str, float]) -> float:
    """Return what a word weighs in a passage that is found by these wordings."""
    [index] = WORDS.question(word).indices
    return weights(WORDS.passage("memory", wordings)).get(index, 0.0)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("getUserById", "getUserById get User By Id"),
        ("see HTMLTheme here", "see HTMLTheme HTML Theme here"),
        ("oauth2Token", "oauth2Token oauth2 Token"),
        ("PostgresIndexQueue.claim", "PostgresIndexQueue Postgres Index Queue.claim"),
        ("isIOS and URLs", "isIOS is IOS and URLs"),
        ("snake_case, CONSTANT_CASE, Capital", "snake_case, CONSTANT_CASE, Capital"),
        ("plain words of 2026", "plain words of 2026"),
        ("", ""),
    ],
)
def test_a_compound_is_followed_by_its_parts(text: str, spelled: str) -> None:
    assert spelled_out(text) == spelled


@given(st.text() | st.text(alphabet="abAB1 _."))
def test_spelling_out_keeps_every_word_and_adds_only_parts_of_them(text: str) -> None:
    rest = iter(spelled_out(text))

    assert all(character in rest for character in text)
    assert set(spelled_out(text)) <= {*text, " "}


@pytest.mark.parametrize("letters", ["a", "A", "7f", "aB", "🦜"])
def test_a_very_long_word_is_spelled_out_in_no_time(letters: str) -> None:
    began = perf_counter()

    spelled_out(letters * (30_000 // len(letters)))

    assert perf_counter() - began < 2


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


def test_a_word_in_several_wordings_counts_where_it_counts_most() -> None:
    own = ("Ann: the boat is red", 1.0)
    others = [("Ann: who painted it", 0.7), ("Ann: it was blue", 0.6)]

    assert weight_of("Ann", own, *others) == weight_of("Ann", own)


def test_a_passage_found_by_nothing_has_no_words() -> None:
    assert weights(WORDS.passage("memory", [])) == {}
    assert weights(WORDS.passage("memory", [("", 1.0), ("the", 0.5)])) == {}
