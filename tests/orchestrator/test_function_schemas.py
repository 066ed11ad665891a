import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from memos_mcp.orchestrator.function_schemas import function_parameters
from memos_mcp.orchestrator.inlined_schemas import UnfitSchema
from tests.orchestrator.strict_endpoint import root_faults

TEXT = {"type": "string"}
A, B = ({"type": "object", "properties": {name: TEXT}, "required": [name]} for name in "ab")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "object", "array", "#", "#/properties/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
KEYWORDS = [
    "type", "properties", "required", "items", "prefixItems", "anyOf", "oneOf", "allOf", "not", "if", "then", "$ref",
    "enum", "const", "nullable", "additionalProperties", "description", "minimum", "exclusiveMinimum", "x-in", "a", "b",
]  # fmt: skip
SCHEMAS = st.recursive(
    st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS), inner | st.lists(inner, max_size=3) | VALUES, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


@given(SCHEMAS)
def test_any_schema_becomes_one_that_a_strict_endpoint_takes_or_is_unfit(schema: dict[str, Any]) -> None:
    try:
        parameters = function_parameters(schema)
    except UnfitSchema:
        return
    assert list(root_faults(parameters)) == []
    assert list(root_faults(function_parameters(schema, reduced=True))) == []
    Draft202012Validator.check_schema(parameters)


@given(SCHEMAS, st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2))
def test_what_any_schema_accepts_its_parameters_accept(schema: dict[str, Any], value: dict[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
        accepted = Draft202012Validator(schema, registry=Registry()).is_valid(value)
        parameters = function_parameters(schema)
    except (SchemaError, Unresolvable, RecursionError, UnfitSchema):
        return
    if accepted:
        assert Draft202012Validator(parameters).is_valid(value)


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
def test_alternatives_at_the_root_become_one_object_that_names_them(keyword: str) -> None:
    assert function_parameters({keyword: [A, B, {"type": "null"}]}) == {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "description": "Give one of these combinations: a; or b.",
    }


def test_an_alternative_with_a_property_of_another_type_keeps_both_types() -> None:
    other = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    parameters = function_parameters({"oneOf": [A, other]})
    assert parameters["properties"]["a"] == {"anyOf": [TEXT, {"type": "integer"}]}
    assert parameters["required"] == ["a"]


def test_all_of_at_the_root_becomes_one_object() -> None:
    assert function_parameters({"allOf": [A, B], "description": "Both."}) == {
        "type": "object",
        "description": "Both.",
        "properties": {"a": TEXT, "b": TEXT},
        "required": ["a", "b"],
    }


def test_a_schema_never_accepts_less_than_before() -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["x", "y"]}},
        "if": {"properties": {"kind": {"const": "x"}}},
        "then": {"properties": {"depth": {"type": "integer"}}, "required": ["depth"]},
        "oneOf": [{"required": ["kind"]}, {"properties": {"other": {"type": "array"}}, "required": ["other"]}],
        "not": {"required": ["never"]},
    }
    parameters = function_parameters(schema)
    validator = Draft202012Validator(parameters)
    for value in ({"kind": "x", "depth": 1}, {"kind": "y"}, {"other": [1, "a"], "depth": 1}):
        assert Draft202012Validator(schema).is_valid(value)
        assert validator.is_valid(value)
    assert "depth" in parameters["properties"]


def test_read_only_properties_are_not_asked_for() -> None:
    schema = {"properties": {"id": {"type": "string", "readOnly": True}, "name": TEXT}, "required": ["id", "name"]}
    assert function_parameters(schema) == {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    named = dict.fromkeys(("$ref", "x-order", "nullable", "not", "properties", "anyOf"), TEXT)
    assert function_parameters({"type": "object", "properties": named})["properties"] == named


def test_null_is_kept_for_each_form_of_nullable() -> None:
    schema = {
        "type": "object",
        "properties": {
            "plain": {"type": "string", "nullable": True},
            "all": {"nullable": True, "allOf": [{"$ref": "#/$defs/T"}]},
            "one": {"nullable": True, "oneOf": [TEXT, {"type": "integer"}]},
            "const": {"nullable": True, "const": "a"},
            "beside": {"nullable": True, "$ref": "#/$defs/T"},
        },
        "$defs": {"T": {"type": "string", "enum": ["a"]}},
    }
    validator = Draft202012Validator(function_parameters(schema))
    for name in schema["properties"]:
        assert validator.is_valid({name: None}), name
        assert validator.is_valid({name: "a"}), name


def test_a_reference_by_anchor_and_with_escapes_is_resolved() -> None:
    schema = {
        "properties": {"a": {"$ref": "#here"}, "b": {"$ref": "#/$defs/x~1y%20z"}, "c": {"$ref": "#/$defs/list/0"}},
        "$defs": {"any": {"$anchor": "here", "type": "integer"}, "x/y z": TEXT, "list": [{"type": "boolean"}]},
    }
    types = {name: child["type"] for name, child in function_parameters(schema)["properties"].items()}
    assert types == {"a": "integer", "b": "string", "c": "boolean"}


def test_a_schema_that_expands_without_bound_stays_small() -> None:
    schema: dict[str, Any] = {"$ref": "#/$defs/0", "$defs": {}}
    for level in range(30):
        children = {name: {"$ref": f"#/$defs/{level + 1}"} for name in "abcd"}
        schema["$defs"][str(level)] = {"type": "object", "properties": children}
    schema["$defs"]["30"] = TEXT
    assert len(json.dumps(function_parameters(schema))) < 400_000


def test_numbers_and_text_that_cannot_be_sent_are_left_out() -> None:
    schema = {"properties": {"a": {"maximum": 1e999, "default": 1e999, "description": "\ud83d"}}}
    text = json.dumps(function_parameters(schema), allow_nan=False)
    assert json.loads(text)["properties"]["a"] == {"description": "?"}


def test_a_reduced_schema_has_one_type_and_no_patterns() -> None:
    schema = {
        "properties": {
            "a": {"type": ["null", "string"], "pattern": "^a$", "format": "uri"},
            "b": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "integer", "minimum": 1}}]},
            "c": {"enum": [1, 2], "type": "integer"},
        },
        "additionalProperties": False,
    }
    assert function_parameters(schema, reduced=True) == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"type": "integer"},
        },
    }
