"""A large response schema is shown in short, and never stricter than it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.schema_dialects import check_schema
from memos_mcp.mcp_server import schema_excerpt
from memos_mcp.mcp_server.response_budget import compact
from memos_mcp.mcp_server.schema_excerpt import SHOWN_CHARS, shortened
from memos_mcp.tool_calling.schema_check import find_violation

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        listed = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3)}),
            st.fixed_dictionaries({"items": inner}),
            listed.map(lambda parts: {"oneOf": parts}),
            listed.map(lambda parts: {"allOf": parts}),
            inner.map(lambda part: {"not": part}),
            inner.map(lambda part: {"additionalProperties": part, "description": "x" * 50}),
        )

    types = st.sampled_from(["null", "boolean", "integer", "string", "array", "object"])
    return st.recursive(types.map(lambda name: {"type": name}), wider, max_leaves=10)


def test_a_schema_that_fits_is_not_shortened() -> None:
    assert shortened(None) is None
    assert shortened({"type": "object"}) is None


def test_a_large_schema_keeps_its_outer_levels() -> None:
    leaf = {"type": "object", "properties": {f"field_{number}": {"type": "string"} for number in range(60)}}
    rows = {"type": "array", "items": leaf, "description": "All rows."}
    short = shortened({"type": "object", "properties": {f"table_{number}": rows for number in range(40)}})
    assert short is not None
    assert len(compact(short)) <= SHOWN_CHARS
    assert short["properties"]["table_7"]["type"] == "array"
    check_schema("response_schema", short, max_chars=SHOWN_CHARS)


def test_a_schema_that_is_too_wide_keeps_its_type() -> None:
    wide = {"type": "object", "properties": {f"a_rather_long_name_{number}": {} for number in range(1_000)}}
    assert shortened(wide) == {"type": "object"}


@given(schemas(), VALUES, st.integers(10, 200))
def test_a_short_schema_takes_every_value_that_the_whole_one_takes(
    schema: dict[str, Any], value: Any, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(schema_excerpt, "SHOWN_CHARS", limit)
        short = shortened(schema)
    if short is not None and find_violation(schema, value) is None:
        assert find_violation(short, value) is None
