import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.schema_dialects import check_schema, dialects, schema_problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYWORDS = st.sampled_from(["type", "properties", "items", "required", "enum", "$ref", "$schema", "allOf", "pattern"])


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}, "required": ["city"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {"type": "integer"}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "number"}]},
        {"$schema": "https://json-schema.org/draft-07/schema", "definitions": {"a": {"type": "integer"}}},
        {"$ref": "#/$defs/node", "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}}},
        {"type": "number", "minimum": 0, "exclusiveMinimum": True, "nullable": True},
    ],
    ids=["empty", "an object", "draft 7", "2020-12", "draft 7 by https", "a recursive one", "OpenAPI 3.0"],
)
def test_a_schema_in_use_is_accepted(schema: dict[str, Any]) -> None:
    assert check_schema("request_schema", schema, max_chars=1_000) > 0


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "strnig"}, "at type"),
        ({"properties": {"a": {"type": 7}}}, "at properties/a/type"),
        ({"required": "city"}, "at required"),
        ({"$ref": "https://example.com/schema.json"}, "another document"),
        ({"properties": {"a": {"$dynamicRef": "other.json#node"}}}, "another document"),
        ({"$schema": "https://example.com/my-dialect"}, "unknown [$]schema"),
        ({"$schema": ["a list"]}, "unknown [$]schema"),
        ({"$schema": "http://[not a url"}, "unknown [$]schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "exclusiveMinimum": True}, "at exclusiveMinimum"),
        ({"description": "long" * 300}, "limit is 1,000"),
        ({"description": "half \ud83d"}, "unpaired surrogate"),
    ],
)
def test_an_invalid_schema_is_refused_with_the_path_of_the_error(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        check_schema("request_schema", schema, max_chars=1_000)

    assert "request_schema" in str(caught.value)


@given(st.dictionaries(KEYWORDS | st.text(max_size=4), JSON, max_size=4))
def test_any_mapping_is_either_accepted_or_refused_with_a_reason(schema: dict[str, Any]) -> None:
    try:
        assert check_schema("response_schema", schema, max_chars=5_000) >= 2
    except Invalid as refusal:
        assert "response_schema" in str(refusal)  # noqa: PT017 - a refusal is one of the two right answers


def test_a_missing_schema_has_no_size() -> None:
    assert check_schema("request_schema", None, max_chars=10) == 0


def test_the_size_is_that_of_compact_json() -> None:
    assert check_schema("request_schema", {"type": "object"}, max_chars=100) == len('{"type":"object"}')


def test_a_property_named_like_a_keyword_is_only_a_property() -> None:
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}, "type": {"type": "string"}}}

    assert check_schema("request_schema", schema, max_chars=1_000) > 0


def test_patterns_are_never_evaluated() -> None:
    schema = {"type": "string", "pattern": "(a+)+$", "default": "a" * 60 + "!"}

    assert check_schema("request_schema", schema, max_chars=1_000) > 0


def test_a_schema_as_deep_as_allowed_is_accepted() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(63):
        schema = {"not": schema}

    assert check_schema("request_schema", schema, max_chars=1_000) > 0


def test_a_very_deep_schema_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"not": schema}

    with pytest.raises(Invalid, match="levels deep"):
        check_schema("request_schema", schema, max_chars=10_000_000)


def test_an_openapi_3_1_schema_may_name_its_dialect() -> None:
    schema = {"$schema": "https://spec.openapis.org/oas/3.1/dialect/base", "type": ["string", "null"]}
    assert check_schema("request_schema", schema, max_chars=1_000) > 0


@pytest.mark.parametrize("keyword", ["enum", "examples"])
def test_a_value_that_looks_like_a_reference_is_accepted(keyword: str) -> None:
    assert check_schema("request_schema", {keyword: [{"$ref": "https://example.com/a"}]}, max_chars=1_000) > 0


PARTS: st.SearchStrategy[Any] = st.sampled_from(
    [
        "string",
        "nowhere",
        5,
        True,
        None,
        [],
        {},
        ["a"],
        ["a", "a"],
        [{}],
        [5],
        {"a": {}},
        {"a": 5},
        {"a": ["b"]},
        {"type": "nowhere"},
        [{"type": 5}],
        {"a": {"type": "nowhere"}},
        {"a": [5]},
    ]
)
PLACED = st.sampled_from(
    [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "default",
        "examples",
        "allOf",
        "not",
        "minimum",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "$defs",
        "definitions",
        "title",
        "description",
        "x-in",
        "patternProperties",
        "additionalProperties",
        "maxLength",
        "$ref",
        "prefixItems",
        "if",
        "propertyNames",
        "$id",
    ]
)


@given(st.dictionaries(PLACED, PARTS, max_size=4), st.sampled_from(["", "-04", "-06", "-07"]))
def test_a_schema_is_refused_exactly_where_its_meta_schema_refuses_it(schema: dict[str, Any], draft: str) -> None:
    named = {"$schema": f"http://json-schema.org/draft{draft}/schema#"} if draft else {}
    for dialect in dialects(named):
        assert (schema_problem(dialect, schema) is None) == dialect(dialect.META_SCHEMA).is_valid(schema)


def test_a_schema_of_a_megabyte_is_checked_in_little_time() -> None:
    leaves = {f"p{number}": {"type": "string", "description": "d" * 40} for number in range(12_000)}
    began = time.process_time()
    assert check_schema("response_schema", {"properties": leaves}, max_chars=1_000_000) > 900_000
    assert time.process_time() - began < 4
