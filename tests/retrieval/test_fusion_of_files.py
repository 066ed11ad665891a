"""The bonus that the best chunk of a file has for the other chunks."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Group, Lanes, Match, Span
from memos_mcp.retrieval.files import SHARPNESS
from memos_mcp.retrieval.fusion import Ranked, fuse
from memos_mcp.retrieval.named_files import NAMED

HERE = Span(0, 1)
COSINES = st.floats(-1, 1)
FILES = {name: Group("file", name) for name in ("a file", "another")}
Scores: TypeAlias = Mapping[int, tuple[float, str | None]]
"""The cosine and the file of each item."""

CHUNKS_OF_THREE = ((1, 1, 0.5), (2, 2, 0.48), (3, 3, 0.2), (4, 2, 0.3))
"""Numbers of items, each with that of its file or session and its cosine."""

CHUNKS = st.dictionaries(st.integers(0, 9), st.tuples(COSINES, st.sampled_from(["a file", "another", None])))


def dense(scores: Scores) -> Lanes:
    """Return the dense lane of these items; those without a file are messages of one session."""
    groups = {n: Group("session", "s") if file is None else FILES[file] for n, (_, file) in scores.items()}
    return Lanes([Match(str(UUID(int=n)), score, HERE, groups[n]) for n, (score, _) in scores.items()])


def answer(*scores: Scores) -> list[Ranked]:
    """Rank items by their cosines for a question and for each of its sentences, and by their files."""
    return fuse("memory", [dense(one) for one in scores])


def numbers(ranked: Sequence[Ranked]) -> list[int]:
    return [hit.item_id.int for hit in ranked]


def test_files_with_equal_best_chunks_are_ordered_by_their_other_chunks() -> None:
    ranked = answer({1: (0.5, "a file"), 2: (0.5, "another"), 3: (0.4, "another"), 4: (0.1, "a file")})
    assert numbers(ranked) == [2, 1, 3, 4]


def test_the_best_chunk_has_the_soft_maximum_of_all_and_the_others_are_unchanged() -> None:
    ranked = answer({1: (0.5, "a file"), 2: (0.5, "a file"), 3: (0.4, "a file")})
    total = math.log(sum(math.exp(SHARPNESS * score) for score in (0.5, 0.5, 0.4))) / SHARPNESS
    assert [hit.strength for hit in ranked] == pytest.approx([total, 0.5, 0.4])
    assert [hit.signals.get("document") for hit in ranked] == [round(total - 0.5, 4), None, None]


def test_an_item_of_no_file_or_the_only_chunk_of_its_file_has_no_bonus() -> None:
    ranked = answer({1: (0.5, None), 2: (0.5, None), 3: (0.4, "a file")})
    assert [hit.strength for hit in ranked] == [0.5, 0.5, 0.4]
    assert all("document" not in hit.signals for hit in ranked)


@given(CHUNKS)
def test_the_chunks_of_a_file_keep_their_order_and_only_the_first_has_a_bonus(
    scores: dict[int, tuple[float, str | None]],
) -> None:
    ranked = answer(scores)
    for file in ("a file", "another"):
        parts = [hit for hit in ranked if scores[hit.item_id.int][1] == file]
        own = [scores[hit.item_id.int][0] for hit in parts]
        assert own == sorted(own, reverse=True)
        assert [hit.strength for hit in parts[1:]] == own[1:]
        for hit in parts[:1]:
            assert own[0] <= hit.strength <= own[0] + math.log(len(own)) / SHARPNESS + 1e-9


def test_a_chunk_that_only_words_or_a_sentence_found_counts_for_its_file() -> None:
    whole = Lanes([Match(str(UUID(int=n)), 0.5, HERE, FILES["a file"] if n == 2 else None) for n in (1, 2)])
    words = Lanes(bm25=[Match(str(UUID(int=3)), 9.0, HERE, FILES["a file"])])
    assert numbers(fuse("memory", [whole])) == [1, 2]
    assert numbers(fuse("memory", [Lanes(whole.dense, words.bm25)]))[0] == 2
    assert "document" in fuse("memory", [whole, words])[0].signals


def test_a_file_that_fits_several_sentences_is_before_one_that_fits_a_single_sentence_better() -> None:
    whole: Scores = {1: (0.5, "a file"), 2: (0.5, "another"), 3: (0.4, "another")}
    first: Scores = {1: (0.8, "a file"), 2: (0.7, "another"), 3: (0.1, "another")}
    second: Scores = {1: (0.1, "a file"), 2: (0.1, "another"), 3: (0.6, "another")}
    assert numbers(answer(whole, first, second))[0] == 2


def test_the_best_file_is_as_strong_as_if_each_of_its_chunks_had_its_best_sentence() -> None:
    whole: Scores = {1: (0.5, "a file"), 2: (0.3, "another"), 3: (0.6, None)}
    first: Scores = {1: (0.8, "a file"), 2: (0.2, "another"), 3: (0.7, None)}
    second: Scores = {1: (0.2, "a file"), 2: (0.1, "another"), 3: (0.1, None)}
    ranked = {hit.item_id.int: hit for hit in answer(whole, first, second)}
    assert ranked[3].strength == pytest.approx((0.6 + 0.7) / 2)
    assert ranked[1].strength == pytest.approx((0.5 + 0.8) / 2)
    assert ranked[2].strength == pytest.approx((0.3 + 0.15) / 2 + (0.8 - 0.5) / 2)
    assert ranked[1].signals["part"] == 0.5


def test_a_question_that_names_a_file_raises_the_best_chunk_of_it() -> None:
    files = {1: Group("file", "1", "config"), 2: Group("file", "2", "list todo"), 3: Group("session", "3", "todo list")}
    lane = Lanes([Match(str(UUID(int=n)), score, HERE, files[file]) for n, file, score in CHUNKS_OF_THREE])
    unnamed = fuse("memory", [lane])
    assert fuse("memory", [lane], texts=["Why is it slow?"]) == unnamed
    ranked = fuse("memory", [lane], texts=["Why is the todo list slow?"])
    assert numbers(ranked) == [2, 1, 4, 3]
    assert ranked[0].signals["file_name"] == NAMED
    assert ranked[0].strength == pytest.approx(unnamed[1].strength + NAMED)
    assert [hit for hit in ranked if hit.item_id.int != 2] == [hit for hit in unnamed if hit.item_id.int != 2]


def test_a_sentence_that_names_a_file_raises_no_memory_outside_files() -> None:
    lane = Lanes(
        [
            Match(str(UUID(int=1)), 0.5, HERE, Group("file", "1", "todo")),
            Match(str(UUID(int=2)), 0.5, HERE),
        ]
    )
    texts = ["The todo page is slow. Why?", "The todo page is slow.", "Why?"]
    strengths = {hit.item_id.int: hit.strength for hit in fuse("memory", [lane, lane, lane], texts=texts)}
    assert strengths == pytest.approx({1: 0.5 + NAMED * 0.75, 2: 0.5})


@given(CHUNKS, st.lists(st.lists(COSINES, min_size=10, max_size=10), max_size=3))
def test_a_chunk_that_other_chunks_raise_is_the_first_of_its_file(
    scores: dict[int, tuple[float, str | None]], sentences: list[list[float]]
) -> None:
    others = [{n: (cosines[n], file) for n, (_, file) in scores.items()} for cosines in sentences]
    ranked = answer(scores, *others)
    for file in FILES:
        raised = ["document" in hit.signals for hit in ranked if scores[hit.item_id.int][1] == file]
        assert not any(raised[1:])
