from typing import Any

import pytest

from memos_mcp.tool_calling.one_way import relaxed, without_read_only
from memos_mcp.tool_calling.schema_check import find_violation

PET = {
    "type": "object",
    "required": ["id", "name", "secret"],
    "properties": {"id": {"readOnly": True}, "name": {}, "secret": {"writeOnly": True}},
}


@pytest.mark.parametrize(
    "schema",
    [
        PET,
        {"allOf": [PET]},
        {"$ref": "#/$defs/pet", "$defs": {"pet": PET}},
        {"allOf": [{"properties": PET["properties"]}, {"required": PET["required"]}]},
        {
            "properties": {"id": {"$ref": "#/$defs/id"}, "secret": {"writeOnly": True}},
            "required": PET["required"],
            "$defs": {"id": {"readOnly": True}},
        },
    ],
)
def test_a_property_of_one_direction_is_required_in_that_direction_only(schema: dict[str, Any]) -> None:
    assert find_violation(relaxed(schema, "readOnly"), {"name": "Mara", "secret": "x"}) is None
    assert "'id' is a required" in str(find_violation(relaxed(schema, "writeOnly"), {"name": "Mara"}))
    assert find_violation(relaxed(schema, "writeOnly"), {"name": "Mara", "id": 5}) is None
    assert "'name' is a required" in str(find_violation(relaxed(schema, "readOnly"), {"secret": "x"}))


def test_a_property_that_is_called_read_only_is_one_like_others() -> None:
    schema = {"properties": {"readOnly": {"type": "boolean"}}, "required": ["readOnly"]}
    assert relaxed(schema, "readOnly") is schema
    assert without_read_only({"readOnly": True}, schema) == ({"readOnly": True}, [])


def test_a_circular_schema_is_read_as_deep_as_the_value_is() -> None:
    node: dict[str, Any] = {"properties": {"id": {"readOnly": True}, "next": {"$ref": "#"}}}
    value, removed = without_read_only({"id": 1, "next": {"id": 2, "next": {"x": 3}}}, node)
    assert value == {"next": {"next": {"x": 3}}}
    assert removed == ["id", "next/id"]
