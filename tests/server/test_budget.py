import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_mcp.domain import cursor
from memos_mcp.domain.index import Span
from memos_mcp.domain.memory import MemoryHit, MemoryPage
from memos_mcp.domain.tool import ToolHit, ToolPage
from memos_mcp.server.budget import (
    DEFAULT_CHARS,
    HARD_CHARS,
    LEAST_CHARS,
    compact,
    excerpt,
    fit_memories,
    fit_tools,
)
from tests.stand_in import QUESTION, memory_hit, memory_page, tool_hit

LETTERS = ["word ", "x", '"', "\\", "\x01", "é世", "😀 ", "\n\t "]
MARK = ',"omitted":["description"]'
LONG = "A description that says a good deal. " * 100
limits = st.sampled_from([800, 1_000, 4_000, DEFAULT_CHARS, 20_000, HARD_CHARS, 10**6])


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts of any length up to `longest`, of letters that cost one to six characters of JSON."""
    return st.builds(lambda unit, size: (unit * size)[:size], st.sampled_from(LETTERS), st.integers(1, longest))


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


@settings(max_examples=40, deadline=None)
@given(st.lists(hits(), max_size=6), limits, st.booleans(), st.sampled_from([None, "A sentence of the services. " * 6]))
def test_an_answer_never_exceeds_its_limit_and_the_first_hit_always_comes(
    found: list[MemoryHit], limit: int, more: bool, degraded: str | None
) -> None:
    page = memory_page(found, more=more, degraded=degraded)
    answer = fitted(page, limit)
    assert len(compact(answer)) <= min(limit, HARD_CHARS)
    assert bool(answer["memories"]) == bool(found)
    assert all(memory["content"] for memory in answer["memories"])
    assert "note" in answer or len(answer["memories"]) == len(found)


@settings(max_examples=40, deadline=None)
@given(st.lists(hits(), min_size=1, max_size=6), limits, st.booleans())
def test_what_is_shown_is_the_head_of_the_page_and_the_cursor_goes_on_right_after_it(
    found: list[MemoryHit], limit: int, more: bool
) -> None:
    numbered = [
        MemoryHit(hit.memory, (number, "x"), hit.score, hit.signals, hit.span) for number, hit in enumerate(found)
    ]
    answer = fitted(memory_page(numbered, more=more), limit)
    count = len(answer["memories"])
    if more or count < len(found):
        assert cursor.decode(answer["next_cursor"], QUESTION) == (count - 1, "x")
    else:
        assert answer["next_cursor"] is None


@settings(max_examples=40, deadline=None)
@given(hits(), limits)
def test_an_excerpt_is_that_part_of_the_content_which_it_says(hit: MemoryHit, limit: int) -> None:
    shown = fitted(memory_page([hit]), limit)["memories"][0]
    part = shown.get("excerpt", {"start": 0, "end": len(hit.memory.content), "length": len(hit.memory.content)})
    assert hit.memory.content[part["start"] : part["end"]] == shown["content"]
    assert part["length"] == len(hit.memory.content)


def test_an_answer_that_fits_is_left_as_it_is() -> None:
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
    place = content.index("NEEDLE")
    answer = fitted(memory_page([memory_hit(1, Span(place, place + 6), content=content)]))
    shown = answer["memories"][0]
    assert "NEEDLE" in shown["content"]
    assert shown["content"].startswith("before")
    assert shown["content"].endswith("after")
    assert len(compact(answer)) > 0.95 * DEFAULT_CHARS
    assert "max_tokens" in answer["note"]


def test_a_long_memory_further_down_becomes_an_excerpt_while_there_is_room() -> None:
    answer = fitted(memory_page([memory_hit(1), memory_hit(2, content="word " * 4_000)]))
    assert [("excerpt" in memory) for memory in answer["memories"]] == [False, True]


def test_a_long_memory_leaves_the_ones_after_it_their_room() -> None:
    long = "word " * 40_000
    mixed = fitted(memory_page([memory_hit(1, content=long), *(memory_hit(n, content="y" * 400) for n in range(2, 8))]))
    assert [("excerpt" in memory) for memory in mixed["memories"]] == [True] + [False] * 6
    assert len(compact(mixed)) > 0.95 * DEFAULT_CHARS
    many = fitted(memory_page([memory_hit(number, content=long) for number in range(1, 6)]))
    assert [len(memory["content"]) > 1_000 for memory in many["memories"]] == [True] * 5


def test_metadata_that_leaves_no_room_is_named_as_omitted() -> None:
    page = memory_page([memory_hit(1, content="short", metadata={"big": "x" * 9_000}, tags=["a"])])
    assert fitted(page)["memories"][0]["omitted"] == ["metadata"]
    assert "omitted" not in fitted(page, HARD_CHARS)["memories"][0]


@given(texts(3_000), st.integers(1, 3_000), st.data())
def test_the_widest_excerpt_that_fits_is_taken(text: str, room: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    part = excerpt(text, Span(start, data.draw(st.integers(start, len(text)))), room)
    cost = len(compact(text[slice(*part)])) - 2
    assert cost <= room
    assert cost >= min(room - 6 - 2 * 32 * 6, len(compact(text)) - 2 - 2 * 32 * 6)


def shown_tool(hit: ToolHit) -> dict[str, Any]:
    tool = hit.tool
    shown = {"tool_id": tool.tool_id, "name": tool.name, "description": tool.description}
    return shown | {"endpoint_url": tool.endpoint_url, "required_capabilities": list(tool.required_capabilities)}


def fitted_tools(found: list[ToolHit], *, full: bool = False, beyond: int = 0) -> dict[str, Any]:
    schemas = [{"request_schema": dict(hit.tool.request_schema or {})} for hit in found] if full else None
    return fit_tools(ToolPage(found, len(found) + beyond, 0), [shown_tool(hit) for hit in found], schemas)


@st.composite
def tools(draw: st.DrawFn) -> ToolHit:
    capabilities = draw(st.lists(texts(128), max_size=8)) * draw(st.sampled_from([1, 8]))
    schema = {"type": "object", "description": "x" * draw(st.integers(0, 29_900))}
    return tool_hit(
        tool_id=draw(texts(255)),
        name=draw(texts(255)),
        description=draw(texts(200) | texts(4_000) | texts(20_000)),
        required_capabilities=capabilities,
        request_schema=schema,
    )


pages = st.builds(lambda found, times: found * times, st.lists(tools(), max_size=6), st.sampled_from([1, 2, 8]))


@settings(max_examples=60, deadline=None)
@given(pages, st.booleans(), st.sampled_from([0, 7]))
def test_an_answer_with_tools_never_exceeds_its_limit(found: list[ToolHit], full: bool, beyond: int) -> None:
    answer = fitted_tools(found, full=full, beyond=beyond)
    assert len(compact(answer)) <= (HARD_CHARS if full else DEFAULT_CHARS)
    assert bool(answer["tools"]) == bool(found)
    assert answer["has_more"] == (beyond > 0 or len(answer["tools"]) < len(found))
    assert "note" in answer or len(answer["tools"]) == len(found)
    if full and found:
        assert answer["tools"][0]["request_schema"] == found[0].tool.request_schema


@settings(max_examples=60, deadline=None)
@given(pages, st.booleans())
def test_tools_are_the_head_of_the_page_and_what_is_cut_of_them_is_named(found: list[ToolHit], full: bool) -> None:
    answer = fitted_tools(found, full=full)
    for tool, whole in zip(answer["tools"], map(shown_tool, found), strict=False):
        cut = [name for name in whole if tool.get(name) != whole[name]]
        assert cut == tool.get("omitted", [])
        assert set(cut) <= {"description", "required_capabilities"}
        assert tool["description"]
        assert whole["description"].startswith(tool["description"])
    shortened = sum("omitted" in tool for tool in answer["tools"])
    assert (f"{shortened} shortened" in answer.get("note", "")) == (shortened > 0)


@settings(max_examples=60, deadline=None)
@given(pages)
def test_no_tool_is_left_out_while_another_has_more_than_the_least(found: list[ToolHit]) -> None:
    answer = fitted_tools(found)
    shown = answer["tools"]
    if len(shown) == len(found):
        return
    assert all(len(compact(tool["description"])) - 2 <= LEAST_CHARS + len(MARK) for tool in shown)
    assert all(len(compact(tool.get("required_capabilities"))) <= LEAST_CHARS for tool in shown)
    following = shown_tool(found[len(shown)]) | {"description": "x" * LEAST_CHARS, "required_capabilities": []}
    assert len(compact(answer)) + len(compact(following)) + len(MARK) > DEFAULT_CHARS - 400  # for the note and marks


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.data())
def test_tools_that_fit_are_left_as_they_are(count: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 1_600), min_size=count, max_size=count))
    found = [tool_hit(number, description="x" * length) for number, length in enumerate(lengths)]
    whole = {"tools": [shown_tool(hit) for hit in found], "total": count, "has_more": False, "withheld": 0}
    whole |= {"confident": None, "degraded": None}
    assert (fitted_tools(found) == whole) == (len(compact(whole)) <= DEFAULT_CHARS)


def test_ten_tools_that_were_asked_for_come_with_shortened_descriptions_the_best_with_the_longest() -> None:
    answer = fitted_tools([tool_hit(number, description=LONG) for number in range(10)])
    lengths = [len(tool["description"]) for tool in answer["tools"]]
    assert len(lengths) == 10
    assert lengths == sorted(lengths, reverse=True)
    assert 1.5 < lengths[0] / lengths[-1] < 3
    assert lengths[-1] > 2 * LEAST_CHARS
    assert all(LONG[length] == " " for length in lengths)
    assert answer["note"] == "10 shortened, see omitted: ask again with the tool_id as query and limit=1."
    assert len(compact(answer)) > 0.9 * DEFAULT_CHARS


@pytest.mark.parametrize("place", [0, 4, 9])
@pytest.mark.parametrize("text", [LONG * 6, '"quoted" ' * 2_500, "\x01 " * 4_000], ids=["words", "quotes", "controls"])
def test_a_very_long_description_takes_only_what_the_short_ones_leave(place: int, text: str) -> None:
    found = [tool_hit(number, description=text if number == place else "Short. " * 40) for number in range(10)]
    answer = fitted_tools(found)
    assert [tool["tool_id"] for tool in answer["tools"] if "omitted" in tool] == [f"tool-{place}"]
    assert len(answer["tools"]) == 10
    assert 0.9 * DEFAULT_CHARS < len(compact(answer)) <= DEFAULT_CHARS


def test_a_description_is_not_cut_where_the_mark_would_cost_what_it_saves() -> None:
    found = [tool_hit(number, description="x" * (LEAST_CHARS + len(MARK))) for number in range(50)]
    shown = fitted_tools(found)["tools"]
    assert 10 < len(shown) < 50
    assert all("omitted" not in tool for tool in shown)


def test_fifty_tools_come_as_far_as_the_least_of_each_has_room() -> None:
    answer = fitted_tools([tool_hit(number, description=LONG) for number in range(50)])
    left_out = 50 - len(answer["tools"])
    assert len(answer["tools"]) > 20
    assert answer["note"].startswith(f"{left_out} more did not fit")
    assert answer["has_more"]


def test_long_lists_of_capabilities_go_before_tools_are_left_out() -> None:
    capabilities = [f"capability-{number}" for number in range(50)]
    found = [tool_hit(number, description=LONG, required_capabilities=capabilities) for number in range(9)]
    short = tool_hit(9, description="Short.", required_capabilities=["network"])
    tools = fitted_tools([*found, short])["tools"]
    assert [tool.get("omitted") for tool in tools] == [["description", "required_capabilities"]] * 9 + [None]
    assert tools[9]["required_capabilities"] == ["network"]
    assert fitted_tools(found[:2])["tools"][0]["required_capabilities"] == capabilities


def test_a_tool_that_was_shortened_comes_whole_with_its_schemas_when_it_is_asked_for_alone() -> None:
    found = [tool_hit(number, description="x" * 4_000, request_schema={"title": "y" * 29_000}) for number in range(5)]
    assert "4 without their schemas" in fitted_tools(found, full=True)["note"]
    alone = fitted_tools(found[4:], full=True)
    assert alone["tools"] == [shown_tool(found[4]) | {"request_schema": found[4].tool.request_schema}]
    assert "note" not in alone


def test_a_tool_that_is_alone_is_not_asked_for_again() -> None:
    answer = fitted_tools([tool_hit(1, description="\x01" * 4_000)])
    assert answer["note"] == "1 shortened, see omitted."
    assert len(compact(answer)) > 0.9 * DEFAULT_CHARS


def test_schemas_are_added_while_there_is_room_and_their_lack_is_said() -> None:
    schema = {"type": "object", "description": "x" * 3_000}
    answer = fitted_tools([tool_hit(number, request_schema=schema) for number in range(1, 5)], full=True)
    assert ["request_schema" in tool for tool in answer["tools"]] == [True, True, False, False]
    assert answer["note"].startswith("2 without their schemas")
    assert len(compact(answer)) <= DEFAULT_CHARS


def test_the_first_tool_has_its_schemas_however_long_they_are() -> None:
    schema = {"type": "object", "description": "x" * 29_000}
    answer = fitted_tools([tool_hit(1, request_schema=schema), tool_hit(2, request_schema={})], full=True)
    assert answer["tools"][0]["request_schema"] == schema


@pytest.mark.parametrize("value", ['a"b', "\x01", "é😀", {"a": [1, None, True]}])
def test_compact_json_is_what_json_reads_back(value: object) -> None:
    assert json.loads(compact(value)) == value
