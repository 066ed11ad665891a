from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import FIELDS
from memos_mcp.domain.tool import Tool, ToolFilter
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.row_states import PostgresToolRows
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.services.projections import ToolProjection, tool_filter, tool_text

NOWHERE = Database("postgresql://nobody@nowhere/none")
PROJECTION = ToolProjection(PostgresTools(NOWHERE), PostgresToolRows(NOWHERE))


def tool(name: str = "tool", schema: dict[str, Any] | None = None, capabilities: Sequence[str] = ()) -> Tool:
    return Tool(UUID(int=1), "here", name, name, "Does it.", "https://host/", schema, None, capabilities, 1, 1)


FORECAST = {
    "title": "Weather server",
    "description": "Forecasts for farmers",
    "type": "object",
    "properties": {
        "zipCode": {"type": "string", "description": "Which town"},
        "days": {"type": "integer"},
        "units": {"anyOf": [{"type": "object", "properties": {"windSpeed": {"description": "Knots or km/h"}}}]},
    },
}


def words_of(schema: dict[str, Any] | None) -> list[str]:
    """Return the lines that a schema adds to what a tool is found by."""
    name, *lines = PROJECTION.lexical_text(tool("tool", schema), "").split("\n")
    assert name == tool_text(tool())
    return lines


def test_the_embedding_text_has_names_and_description_and_no_parameters() -> None:
    described = Tool(
        UUID(int=1), "here", "wx.getForecast", "Forecast", "Shows it.", "https://h/", FORECAST, None, (), 1, 1
    )

    assert tool_text(described) == "Forecast. wx.getForecast wx get Forecast: Shows it."


def test_a_name_that_equals_the_id_is_not_repeated() -> None:
    assert tool_text(tool()) == "tool: Does it."
    assert tool_text(tool("list_files")) == "list_files list files: Does it."


def test_a_tool_is_found_by_its_names_and_the_words_of_its_schema() -> None:
    assert words_of(FORECAST) == [
        "Weather server",
        "Forecasts for farmers",
        "zipCode zip Code: Which town",
        "days",
        "units",
        "windSpeed wind Speed: Knots or km/h",
    ]


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}, {"title": 3, "description": ["no text"]}])
def test_a_tool_with_an_empty_schema_is_found_by_its_names(schema: dict[str, Any] | None) -> None:
    assert words_of(schema) == []


def test_every_passage_of_a_tool_is_found_by_the_same_words() -> None:
    long = tool("tool", FORECAST)

    assert PROJECTION.lexical_text(long, "one passage") == PROJECTION.lexical_text(long, "another")


def test_a_parameter_may_have_the_name_of_a_keyword() -> None:
    inner = {"properties": {"depth": {"description": "How far"}}}
    schema = {"properties": {"default": inner, "properties": {"type": "object"}, "examples": inner}}

    assert sorted(words_of(schema)) == ["default", "depth: How far", "depth: How far", "examples", "properties"]


def test_values_in_a_schema_are_no_parameters() -> None:
    value = {"properties": {"secret": {"description": "not a parameter"}}}
    schema = {"properties": {"a": {"default": value, "examples": [value], "enum": [value], "const": value}}}

    assert words_of(schema) == ["a"]


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["properties", "items", "description", "$defs", "x"]), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["properties", "items", "description", "$defs"]), JSON, max_size=4))
def test_any_schema_has_an_embedding_text_and_a_lexical_text(schema: dict[str, Any]) -> None:
    assert tool_text(tool("tool", schema)) == "tool: Does it."
    assert PROJECTION.lexical_text(tool("tool", schema), "").startswith("tool: Does it.")


@given(
    st.lists(st.sampled_from("abc")), st.none() | st.lists(st.sampled_from("abc")), st.none() | st.lists(st.just("a"))
)
def test_the_index_filter_has_the_same_conditions(
    needs: list[str], agent_has: list[str] | None, required: list[str] | None
) -> None:
    point = PROJECTION.entry(tool(capabilities=needs), None, [])
    condition = tool_filter("here", ToolFilter(required, agent_has))

    held = set(point.words["required_capabilities"])
    proposed = all(set(words) <= held for words in condition.has_all.values()) and all(
        held <= set(words) for words in condition.subset_of.values()
    )

    assert proposed == (set(required or ()) <= set(needs) and (agent_has is None or set(needs) <= set(agent_has)))
    assert {*condition.has_all, *condition.subset_of, *point.words} <= set(FIELDS["tool"].words)
