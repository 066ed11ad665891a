import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Span
from memos_mcp.domain.memory import MemoryHit, MemoryPage
from memos_mcp.mcp_server.response_budget import DEFAULT_CHARS, HARD_CHARS, compact, excerpt, fit_memories
from memos_mcp.retrieval import pagination
from tests.mcp_server.costly import texts
from tests.stand_in import QUESTION, memory_hit, memory_page

limits = st.sampled_from([800, 1_000, 4_000, DEFAULT_CHARS, 20_000, HARD_CHARS, 10**6])


@st.composite
def hits(draw: st.DrawFn) -> MemoryHit:
    content = draw(texts(20_000))
    start = draw(st.integers(0, len(content) - 1))
    span = draw(st.sampled_from([None, Span(start, start + 1), Span(start, len(content)), Span(0, len(content))]))
    tags = draw(st.lists(texts(128), max_size=8)) * draw(st.sampled_from([1, 8]))
    metadata = draw(st.dictionaries(texts(20), texts(2_000), max_size=8))
    session = draw(st.none() | texts(255))
    return memory_hit(1, span, content=content, tags=tags, metadata=metadata, session_id=session)


def shown_memory(hit: MemoryHit) -> dict[str, Any]:
    memory = hit.memory
    shown = {"memory_id": str(memory.memory_id), "content": memory.content, "kind": memory.kind}
    more = {"tags": memory.tags, "metadata": memory.metadata, "agent_id": memory.agent_id, "importance": 0.5}
    times = {"occurred_at": "2026-05-01T12:00:00Z", "created_at": "2026-05-01T12:00:00Z"}
    session = {"session_id": memory.session_id} if memory.session_id else {}
    return shown | more | times | session | {"score": 0.9, "signals": {"dense": 0.8}}


def fitted(page: MemoryPage, limit: int = DEFAULT_CHARS) -> dict[str, Any]:
    return fit_memories(page, [shown_memory(hit) for hit in page.hits], limit)


@given(st.lists(hits(), max_size=6), limits, st.booleans(), st.sampled_from([None, "A sentence of the services. " * 6]))
def test_an_answer_never_exceeds_its_limit_and_always_has_the_first_hit(
    found: list[MemoryHit], limit: int, more: bool, degraded: str | None
) -> None:
    page = memory_page(found, more=more, degraded=degraded)
    answer = fitted(page, limit)
    assert len(compact(answer)) <= min(limit, HARD_CHARS)
    assert bool(answer["memories"]) == bool(found)
    assert all(memory["content"] for memory in answer["memories"])
    assert "note" in answer or len(answer["memories"]) == len(found)


@given(st.lists(hits(), min_size=1, max_size=6), limits, st.booleans())
def test_the_first_hits_of_the_page_are_shown_and_the_cursor_continues_right_after_them(
    found: list[MemoryHit], limit: int, more: bool
) -> None:
    numbered = [
        MemoryHit(hit.memory, (number, "x"), hit.score, hit.signals, hit.span) for number, hit in enumerate(found)
    ]
    answer = fitted(memory_page(numbered, more=more), limit)
    count = len(answer["memories"])
    if more or count < len(found):
        assert pagination.decode(answer["next_cursor"], QUESTION) == (count - 1, "x")
    else:
        assert answer["next_cursor"] is None


@given(hits(), limits)
def test_an_excerpt_is_the_part_of_the_content_between_its_offsets(hit: MemoryHit, limit: int) -> None:
    shown = fitted(memory_page([hit]), limit)["memories"][0]
    part = shown.get("excerpt", {"start": 0, "end": len(hit.memory.content), "length": len(hit.memory.content)})
    assert hit.memory.content[part["start"] : part["end"]] == shown["content"]
    assert part["length"] == len(hit.memory.content)


def test_an_answer_that_fits_is_unchanged() -> None:
    page = memory_page([memory_hit(1), memory_hit(2)])
    assert fitted(page) == {
        "memories": [shown_memory(hit) for hit in page.hits],
        "total": 2,
        "next_cursor": None,
        "confident": None,
        "degraded": None,
    }


def test_hits_that_do_not_fit_are_counted() -> None:
    answer = fitted(memory_page([memory_hit(number, content="x" * 900) for number in range(1, 21)]))
    left_out = 20 - len(answer["memories"])
    assert left_out > 5
    assert answer["note"].startswith(f"{left_out} more did not fit: call again with cursor")


def test_a_long_first_memory_is_shown_around_its_best_passage() -> None:
    content = "before " * 5_000 + "NEEDLE " + "after " * 5_000
    start = content.index("NEEDLE")
    answer = fitted(memory_page([memory_hit(1, Span(start, start + 6), content=content)]))
    shown = answer["memories"][0]
    assert "NEEDLE" in shown["content"]
    assert shown["content"].startswith("before")
    assert shown["content"].endswith("after")
    assert len(compact(answer)) > 0.95 * DEFAULT_CHARS
    assert "max_tokens" in answer["note"]


def test_a_long_memory_further_down_becomes_an_excerpt_while_one_fits() -> None:
    answer = fitted(memory_page([memory_hit(1), memory_hit(2, content="word " * 4_000)]))
    assert [("excerpt" in memory) for memory in answer["memories"]] == [False, True]


def test_a_long_memory_leaves_space_for_the_ones_after_it() -> None:
    long = "word " * 40_000
    mixed = fitted(memory_page([memory_hit(1, content=long), *(memory_hit(n, content="y" * 400) for n in range(2, 8))]))
    assert [("excerpt" in memory) for memory in mixed["memories"]] == [True] + [False] * 6
    assert len(compact(mixed)) > 0.95 * DEFAULT_CHARS
    many = fitted(memory_page([memory_hit(number, content=long) for number in range(1, 6)]))
    assert [len(memory["content"]) > 1_000 for memory in many["memories"]] == [True] * 5


def test_omitted_names_metadata_that_does_not_fit() -> None:
    page = memory_page([memory_hit(1, content="short", metadata={"big": "x" * 9_000}, tags=["a"])])
    assert fitted(page)["memories"][0]["omitted"] == ["metadata"]
    assert "omitted" not in fitted(page, HARD_CHARS)["memories"][0]


@given(texts(3_000), st.integers(1, 3_000), st.data())
def test_the_widest_excerpt_that_fits_is_taken(text: str, available: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    part = excerpt(text, Span(start, data.draw(st.integers(start, len(text)))), available)
    cost = len(compact(text[slice(*part)])) - 2
    assert cost <= available
    assert cost >= min(available - 6 - 2 * 32 * 6, len(compact(text)) - 2 - 2 * 32 * 6)


@pytest.mark.parametrize("value", ['a"b', "\x01", "é😀", {"a": [1, None, True]}])
def test_compact_json_can_be_parsed_back(value: object) -> None:
    assert json.loads(compact(value)) == value
