from typing import Any

import pytest

from memos_mcp.tool_calling.schema_check import UnusableSchema, find_violation
from tests.tool_calling.endpoints import Tools

NULLABLE = {
    "type": "object",
    "properties": {"x": {"type": "string", "nullable": True}, "nullable": {"type": "boolean"}},
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (None, object()),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 5}),
        (NULLABLE, {"x": None, "nullable": True}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, None),
        ({"nullable": True, "allOf": [{"type": "string"}]}, None),
        ({"type": "object", "nullable": True, "allOf": [{"type": "object"}]}, None),
        ({"nullable": True, "oneOf": [{"type": "string"}, {"type": "integer"}]}, None),
        (
            {"properties": {"a": {"nullable": True, "$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}},
            {"a": None},
        ),
        ({"nullable": True, "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, None),
        ({"nullable": True, "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "a"),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 6),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}]},
            ["a", 1],
        ),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "string"}]}, ["a"]),
        ({"$ref": "#/$defs/name", "$defs": {"name": {"type": "string"}}}, "Mara"),
    ],
)
def test_a_valid_value_has_no_violation(schema: dict[str, Any] | None, value: object) -> None:
    assert find_violation(schema, value) is None


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"properties": {"n": {"type": "integer"}}}, {"n": "5"}, "at n: '5' is not of type 'integer'"),
        ({"required": ["query"]}, {}, "'query' is a required property"),
        (NULLABLE, {"x": 5}, "at x: 5 is not of type"),
        ({"allOf": [{"type": "string"}]}, None, "None is not of type 'string'"),
        ({"nullable": True, "allOf": [{"type": "string"}]}, 5, "5 is not"),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 5, "5 is less than or equal to the minimum of 5"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "string"}]}, [1], "at 0"),
        ({"$schema": "https://json-schema.org/draft-07/schema", "items": [{"type": "string"}]}, [1], "at 0"),
    ],
)
def test_a_violation_names_its_path_and_reason(schema: dict[str, Any], value: object, reason: str) -> None:
    assert reason in str(find_violation(schema, value))


def test_a_violation_is_short_even_for_a_large_value() -> None:
    assert len(str(find_violation({"type": "integer"}, "x" * 100_000))) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"pattern": "("},
    ],
)
def test_an_invalid_schema_or_one_with_external_references_is_unusable(schema: dict[str, Any]) -> None:
    with pytest.raises(UnusableSchema):
        find_violation(schema, "x")


@pytest.mark.parametrize("dialect", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}, {"nullable": {}}])
def test_references_of_a_schema_are_never_fetched(dialect: dict[str, Any], tool_host: str, tools: Tools) -> None:
    before = len(tools.seen)
    with pytest.raises(UnusableSchema, match="not in it"):
        find_violation({**dialect, "properties": {"a": {"$ref": f"http://{tool_host}/echo"}}}, {"a": 5})
    assert len(tools.seen) == before
