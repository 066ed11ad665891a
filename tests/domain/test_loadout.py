"""Admission to a loadout, its namespaces, and the relevance of hits to a need."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.loadout import (
    Loadout,
    RelevanceThresholds,
    check_loadout_name,
    check_needs,
    relevance,
    shared_words,
)

THRESHOLDS = RelevanceThresholds(covers=0.4, related=0.3, guesses=1)

names = st.sampled_from(["team", "ops", "runbooks", "private"])


@given(st.lists(names), st.lists(names), names)
def test_a_connection_reads_another_namespace_only_when_the_loadout_admits_it_by_name(
    namespaces: list[str], admitted: list[str], own: str
) -> None:
    loadout = Loadout("x", namespaces=namespaces, admitted=admitted)
    if loadout.admits(own):
        assert set(loadout.reads(own)) <= {own} or own in admitted
    if admitted:
        assert loadout.admits(own) == (own in admitted)


@given(st.lists(names), names)
def test_a_connection_reads_each_namespace_once_and_its_own_first(namespaces: list[str], own: str) -> None:
    read = Loadout("x", namespaces=namespaces).reads(own)
    assert sorted(read) == sorted(set(namespaces) or {own})
    assert own not in read or read[0] == own


@pytest.mark.parametrize(
    ("signals", "rank", "judged"),
    [
        ({"dense": 0.4}, 5, "covers"),
        ({"dense": 0.39, "bm25": 40.0}, 5, "related"),
        ({"dense": 0.29}, 5, None),
        ({"dense": 0.29}, 0, "related"),
        ({"exact": 1.0}, 5, "covers"),
        ({"text": 0.9}, 5, None),
        ({}, 5, None),
    ],
)
def test_the_relevance_of_a_hit_depends_on_its_cosine_and_not_on_its_rank(
    signals: dict[str, float], rank: int, judged: str | None
) -> None:
    assert relevance("move the staging database", "gardens and plants", signals, rank, THRESHOLDS) == judged


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ("The staging databases have moved.", "covers"),
        ("It is about staging only.", "related"),
        ("What have you been about?", None),
    ],
)
def test_the_relevance_of_a_hit_without_a_cosine_depends_on_the_words_of_the_need(
    text: str, judged: str | None
) -> None:
    assert relevance("Which staging database is it? E1234", text, {"text": 0.01}, 9, THRESHOLDS) == judged


def test_fill_words_do_not_count() -> None:
    assert shared_words("what is it about", "what is it about") == (0, 0)
    assert shared_words("deploying servers", "deployment of a server") == (2, 2)


def test_scripts_without_spaces_share_pairs_of_characters() -> None:
    assert shared_words("服务器在哪里", "服务器搬到地下室") == (2, 5)
    assert shared_words("サーバー", "そのｻｰﾊﾞｰは古い") == (3, 3)


def test_one_word_covers_a_need_of_one_word_only() -> None:
    assert relevance("iron a shirt", "a shirt with an emblem", {"dense": 0.1}, 9, THRESHOLDS) == "related"
    assert relevance("shirts", "a shirt with an emblem", {"dense": 0.1}, 9, THRESHOLDS) == "covers"


@pytest.mark.parametrize("name", ["staging", "a", "Team-2.web_shop", "x" * 64])
def test_a_loadout_name_has_letters_digits_and_signs(name: str) -> None:
    check_loadout_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", ".hidden", "x" * 65, "a\n", "a\x00", "ü", "~", "c:x"]
)
def test_a_loadout_name_is_no_path(name: str) -> None:
    with pytest.raises(Invalid, match="without a path"):
        check_loadout_name(name)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"role": " "}, "role is empty"),
        ({"role": "x" * 8_001}, "role has 8,001 characters"),
        ({"capabilities": ["a"] * 65}, "capabilities has 65 entries"),
        ({"namespaces": [""]}, "an entry of namespaces is empty"),
        ({"namespaces": ["a"] * 9}, "namespaces has 9 entries"),
        ({"admitted": ["a\n"]}, "an entry of for holds a character"),
        ({"pinned_memories": [0] * 33}, "memories.pinned has 33 entries"),
        ({"pinned_tools": ["x"] * 33}, "tools.pinned has 33 entries"),
        ({"searches": ["x"] * 9}, "memories.search has 9 entries"),
        ({"searches": ["\x00"]}, "an entry of memories.search holds a NUL"),
        ({"memory_tokens": -1}, "memories.tokens must be from 0 to 10,000"),
        ({"tool_tokens": 10_001}, "tools.tokens must be from 0 to 10,000"),
    ],
)
def test_a_part_that_is_too_long_is_named(part: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        Loadout("x", **part).check()


def test_a_task_and_needs_must_not_be_empty() -> None:
    check_needs("a task", ["a need"])
    for task, needs, message in [
        (" ", [], "task is empty"),
        ("t", [""], "an entry of needs is empty"),
        ("t", ["n"] * 9, "needs has 9 entries"),
    ]:
        with pytest.raises(Invalid, match=message):
            check_needs(task, needs)
