from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.tool import ToolHit, ToolPage
from memos_mcp.mcp_server.response_budget import DEFAULT_CHARS, HARD_CHARS, MIN_DESCRIPTION_CHARS, compact, fit_tools
from tests.mcp_server.costly import texts
from tests.stand_in import tool_hit

MARK = ',"omitted":["description"]'
LONG = "A description that says a good deal. " * 100


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


@given(pages, st.booleans(), st.sampled_from([0, 7]))
def test_an_answer_with_tools_never_exceeds_its_limit(found: list[ToolHit], full: bool, beyond: int) -> None:
    answer = fitted_tools(found, full=full, beyond=beyond)
    assert len(compact(answer)) <= (HARD_CHARS if full else DEFAULT_CHARS)
    assert bool(answer["tools"]) == bool(found)
    assert answer["has_more"] == (beyond > 0 or len(answer["tools"]) < len(found))
    assert "note" in answer or len(answer["tools"]) == len(found)
    if full and found:
        assert answer["tools"][0].pop("request_schema") == found[0].tool.request_schema
        assert len(compact(answer)) <= DEFAULT_CHARS


@given(pages, st.booleans())
def test_the_first_tools_of_the_page_are_shown_and_name_what_was_cut(found: list[ToolHit], full: bool) -> None:
    answer = fitted_tools(found, full=full)
    for tool, whole in zip(answer["tools"], map(shown_tool, found), strict=False):
        cut = [name for name in whole if tool.get(name) != whole[name]]
        assert cut == tool.get("omitted", [])
        assert set(cut) <= {"description", "required_capabilities"}
        assert tool["description"]
        assert whole["description"].startswith(tool["description"])
    shortened = sum("omitted" in tool for tool in answer["tools"])
    assert (f"{shortened} shortened" in answer.get("note", "")) == (shortened > 0)


@given(pages)
def test_no_tool_is_left_out_while_another_has_more_than_the_minimum(found: list[ToolHit]) -> None:
    answer = fitted_tools(found)
    shown = answer["tools"]
    if len(shown) == len(found):
        return
    assert all(len(compact(tool["description"])) - 2 <= MIN_DESCRIPTION_CHARS + len(MARK) for tool in shown)
    assert all(len(compact(tool.get("required_capabilities"))) <= MIN_DESCRIPTION_CHARS for tool in shown)
    following = shown_tool(found[len(shown)]) | {
        "description": "x" * MIN_DESCRIPTION_CHARS,
        "required_capabilities": [],
    }
    assert len(compact(answer)) + len(compact(following)) + len(MARK) > DEFAULT_CHARS - 400  # for the note and marks


@given(st.integers(2, 12), st.data())
def test_tools_that_fit_are_unchanged(count: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 1_600), min_size=count, max_size=count))
    found = [tool_hit(number, description="x" * length) for number, length in enumerate(lengths)]
    whole = {"tools": [shown_tool(hit) for hit in found], "total": count, "has_more": False, "withheld": 0}
    whole |= {"confident": None, "degraded": None}
    assert (fitted_tools(found) == whole) == (len(compact(whole)) <= DEFAULT_CHARS)


def test_ten_tools_have_shortened_descriptions_and_the_best_has_the_longest() -> None:
    answer = fitted_tools([tool_hit(number, description=LONG) for number in range(10)])
    lengths = [len(tool["description"]) for tool in answer["tools"]]
    assert len(lengths) == 10
    assert lengths == sorted(lengths, reverse=True)
    assert 1.5 < lengths[0] / lengths[-1] < 3
    assert lengths[-1] > 2 * MIN_DESCRIPTION_CHARS
    assert all(LONG[length] == " " for length in lengths)
    assert answer["note"] == "10 shortened, see omitted: ask again with the tool_id as query and limit=1."
    assert len(compact(answer)) > 0.9 * DEFAULT_CHARS


@pytest.mark.parametrize("index", [0, 4, 9])
@pytest.mark.parametrize("text", [LONG * 6, '"quoted" ' * 2_500, "\x01 " * 4_000], ids=["words", "quotes", "controls"])
def test_a_very_long_description_takes_only_the_space_that_the_short_ones_leave(index: int, text: str) -> None:
    found = [tool_hit(number, description=text if number == index else "Short. " * 40) for number in range(10)]
    answer = fitted_tools(found)
    assert [tool["tool_id"] for tool in answer["tools"] if "omitted" in tool] == [f"tool-{index}"]
    assert len(answer["tools"]) == 10
    assert 0.9 * DEFAULT_CHARS < len(compact(answer)) <= DEFAULT_CHARS


def test_two_long_descriptions_at_the_end_share_the_space_that_the_short_ones_leave() -> None:
    found = [tool_hit(number, description=LONG if number >= 8 else "Short.") for number in range(10)]
    answer = fitted_tools(found)
    assert ["omitted" in tool for tool in answer["tools"]] == [False] * 8 + [True] * 2
    assert len(compact(answer)) > 0.9 * DEFAULT_CHARS


def test_a_description_is_not_cut_if_the_mark_would_cost_as_much_as_it_saves() -> None:
    found = [tool_hit(number, description="x" * (MIN_DESCRIPTION_CHARS + len(MARK))) for number in range(50)]
    shown = fitted_tools(found)["tools"]
    assert 10 < len(shown) < 50
    assert all("omitted" not in tool for tool in shown)


def test_only_as_many_of_fifty_tools_are_shown_as_fit_with_minimal_descriptions() -> None:
    answer = fitted_tools([tool_hit(number, description=LONG) for number in range(50)])
    left_out = 50 - len(answer["tools"])
    assert len(answer["tools"]) > 20
    assert answer["note"].startswith(f"{left_out} more did not fit")
    assert answer["has_more"]


def test_the_limit_is_used_to_the_last_characters() -> None:
    others = [tool_hit(number, description="x" * 4_000) for number in range(1, 50)]
    urls = [f"https://tools.example.com/{'x' * length}" for length in range(300)]
    answers = [fitted_tools([tool_hit(0, endpoint_url=url), *others]) for url in urls]
    assert DEFAULT_CHARS - 10 <= max(len(compact(answer)) for answer in answers) <= DEFAULT_CHARS


def test_long_lists_of_capabilities_are_dropped_before_descriptions_become_too_short() -> None:
    capabilities = [f"capability-{number}" for number in range(50)]
    found = [tool_hit(number, description=LONG, required_capabilities=capabilities) for number in range(9)]
    short = tool_hit(9, description="Short.", required_capabilities=["network"])
    tools = fitted_tools([*found, short])["tools"]
    assert [tool.get("omitted") for tool in tools] == [["description", "required_capabilities"]] * 9 + [None]
    assert tools[9]["required_capabilities"] == ["network"]
    tools = fitted_tools(found[:6])["tools"]
    assert [tool["omitted"][1:] for tool in tools] == [["required_capabilities"]] * 6
    assert min(len(tool["description"]) for tool in tools) > 400
    tools = fitted_tools(found[:2])["tools"]
    assert [tool["required_capabilities"] for tool in tools] == [capabilities] * 2


def test_a_shortened_tool_is_sent_whole_with_its_schemas_when_it_is_asked_for_alone() -> None:
    found = [tool_hit(number, description="x" * 4_000, request_schema={"title": "y" * 29_000}) for number in range(5)]
    assert "4 without their schemas" in fitted_tools(found, full=True)["note"]
    alone = fitted_tools(found[4:], full=True)
    assert alone["tools"] == [shown_tool(found[4]) | {"request_schema": found[4].tool.request_schema}]
    assert "note" not in alone


def test_the_note_on_a_single_tool_does_not_advise_to_ask_for_it_again() -> None:
    answer = fitted_tools([tool_hit(1, description="\x01" * 4_000)])
    assert answer["note"] == "1 shortened, see omitted."
    assert len(compact(answer)) > 0.9 * DEFAULT_CHARS


def test_schemas_are_added_while_they_fit_and_the_note_counts_the_missing_ones() -> None:
    schema = {"type": "object", "description": "x" * 3_000}
    answer = fitted_tools([tool_hit(number, request_schema=schema) for number in range(1, 5)], full=True)
    assert ["request_schema" in tool for tool in answer["tools"]] == [True, True, False, False]
    assert answer["note"].startswith("2 without their schemas")
    assert len(compact(answer)) <= DEFAULT_CHARS


def test_the_first_tool_has_its_schemas_however_long_they_are() -> None:
    schema = {"type": "object", "description": "x" * 29_000}
    answer = fitted_tools([tool_hit(1, request_schema=schema), tool_hit(2, request_schema={})], full=True)
    assert answer["tools"][0]["request_schema"] == schema
