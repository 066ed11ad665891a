from typing import Any

import pytest

from memos_mcp.orchestrator.schema_check import Unusable, problem
from tests.orchestrator.services import Tools

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
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 6),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}]},
            ["a", 1],
        ),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "string"}]}, ["a"]),
        ({"$ref": "#/$defs/name", "$defs": {"name": {"type": "string"}}}, "Mara"),
    ],
)
def test_a_value_that_agrees_has_no_problem(schema: dict[str, Any] | None, value: object) -> None:
    assert problem(schema, value) is None


@pytest.mark.parametrize(
    ("schema", "value", "what"),
    [
        ({"properties": {"n": {"type": "integer"}}}, {"n": "5"}, "at n: '5' is not of type 'integer'"),
        ({"required": ["query"]}, {}, "'query' is a required property"),
        (NULLABLE, {"x": 5}, "at x: 5 is not of type"),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 5, "5 is less than or equal to the minimum of 5"),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "string"}]}, [1], "at 0"),
        ({"$schema": "https://json-schema.org/draft-07/schema", "items": [{"type": "string"}]}, [1], "at 0"),
    ],
)
def test_a_value_that_disagrees_is_told_where_and_why(schema: dict[str, Any], value: object, what: str) -> None:
    assert what in str(problem(schema, value))


def test_a_problem_is_short_however_large_the_value() -> None:
    assert len(str(problem({"type": "integer"}, "x" * 100_000))) < 300


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
def test_a_schema_that_is_none_or_points_elsewhere_is_unusable(schema: dict[str, Any]) -> None:
    with pytest.raises(Unusable):
        problem(schema, "x")


@pytest.mark.parametrize("dialect", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}, {"nullable": {}}])
def test_nothing_is_fetched_that_a_schema_refers_to(dialect: dict[str, Any], place: str, tools: Tools) -> None:
    before = len(tools.seen)
    with pytest.raises(Unusable, match="not in it"):
        problem({**dialect, "properties": {"a": {"$ref": f"http://{place}/echo"}}}, {"a": 5})
    assert len(tools.seen) == before
