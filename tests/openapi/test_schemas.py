from typing import Any

import pytest

from memos_mcp.openapi.findings import Findings
from memos_mcp.openapi.references import Definitions
from memos_mcp.openapi.schemas import self_contained
from memos_mcp.openapi.valid_schemas import made_valid, without_unusable_patterns

LARGE = {"type": "object", "properties": {name: {"type": "string"} for name in "abcdefgh"}}


def contained(schema: dict[str, Any], **schemas: Any) -> tuple[dict[str, Any], list[str]]:
    findings = Findings()
    definitions = Definitions({"components": {"schemas": schemas}}, findings)
    return self_contained(schema, definitions, findings), [finding.reason for finding in findings.entries]


def ref(name: str, **beside: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", **beside}


def test_a_reference_that_is_used_once_becomes_a_copy() -> None:
    assert contained({"items": ref("Pet")}, Pet=LARGE) == ({"items": LARGE}, [])


def test_a_small_schema_is_copied_wherever_it_is_used() -> None:
    day = {"type": "string", "format": "date"}
    assert contained({"prefixItems": [ref("Day"), ref("Day")]}, Day=day) == ({"prefixItems": [day, day]}, [])


def test_a_schema_that_is_used_often_or_leads_back_to_itself_is_defined_once() -> None:
    tree = {"type": "object", "properties": {"left": ref("Tree"), "pet": ref("Pet"), "other": ref("Pet")}}
    written, findings = contained({"properties": {"tree": ref("Tree")}}, Tree=tree, Pet=LARGE)
    assert written["properties"] == {"tree": {"$ref": "#/$defs/Tree"}}
    assert written["$defs"] == {
        "Tree": {
            "type": "object",
            "properties": {
                "left": {"$ref": "#/$defs/Tree"},
                "pet": {"$ref": "#/$defs/Pet"},
                "other": {"$ref": "#/$defs/Pet"},
            },
        },
        "Pet": LARGE,
    }
    assert findings == []


def test_two_schemas_of_one_name_keep_apart() -> None:
    schema = {"anyOf": [{"$ref": "#/a/Pet"}, {"$ref": "#/b/Pet"}]}
    findings = Findings()
    a, b = ({"items": {"$ref": f"#/{name}/Pet"}} for name in "ab")
    written = self_contained(schema, Definitions({"a": {"Pet": a}, "b": {"Pet": b}}, findings), findings)
    assert written["$defs"] == {
        "Pet": {"items": {"$ref": "#/$defs/Pet"}},
        "Pet_2": {"items": {"$ref": "#/$defs/Pet_2"}},
    }


def test_annotations_beside_a_reference_count_and_assertions_are_added() -> None:
    written, _ = contained(ref("Pet", description="The pet.", nullable=True), Pet=LARGE)
    assert written == {**LARGE, "description": "The pet.", "nullable": True}
    written, _ = contained(ref("Pet", minProperties=1), Pet=LARGE)
    assert written == {"allOf": [LARGE], "minProperties": 1}


def test_a_reference_to_nothing_permits_any_value_and_is_reported() -> None:
    written, findings = contained({"properties": {"a": ref("Missing", description="?")}})
    assert written == {"properties": {"a": {"description": "?"}}}
    assert findings == [
        "The reference #/components/schemas/Missing is not in the document; any value is accepted there."
    ]


def test_a_reference_that_leads_to_itself_only_ends() -> None:
    written, _ = contained({"items": ref("A")}, A=ref("B"), B=ref("A"))
    assert written["items"] == {"$ref": "#/$defs/A"}


def test_bounds_of_openapi_3_0_become_those_of_json_schema() -> None:
    open_, closed = {"minimum": 1, "exclusiveMinimum": True}, {"maximum": 9, "exclusiveMaximum": False}
    written, _ = contained({"prefixItems": [open_, closed, {"exclusiveMinimum": 3}]})
    assert written == {"prefixItems": [{"exclusiveMinimum": 1}, {"maximum": 9}, {"exclusiveMinimum": 3}]}


def test_values_and_names_are_no_keywords() -> None:
    schema = {
        "properties": {"$ref": {"type": "string"}, "x-in": {"type": "string"}, "xml": {"type": "string"}},
        "default": {"$ref": "#/nothing", "x-a": 1},
        "enum": [{"$ref": "#/nothing"}],
    }
    assert contained(schema) == (schema, [])


def test_extensions_and_identifiers_are_not_copied() -> None:
    written, _ = contained({"type": "string", "x-in": "header", "xml": {}, "$id": "https://a", "externalDocs": {}})
    assert written == {"type": "string"}


def test_a_discriminator_names_the_schemas_that_its_values_stand_for() -> None:
    discriminator = {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat", "dog": "Dog"}}
    written, _ = contained({"discriminator": discriminator})
    assert written == {"discriminator": {"propertyName": "kind", "mapping": {"cat": "Cat", "dog": "Dog"}}}


def test_what_is_no_json_schema_is_left_out_and_reported() -> None:
    findings = Findings()
    schema = {
        "type": "object",
        "required": "a",
        "properties": {"a": {"type": "any"}, "b": "text", "c": {"required": True, "minLength": 1}},
        "anyOf": [{"enum": 3}],
    }
    assert made_valid(schema, findings) == {
        "type": "object",
        "properties": {"a": {}, "b": {}, "c": {"minLength": 1}},
        "anyOf": [{}],
    }
    assert len(findings.entries) == 5


@pytest.mark.parametrize("pattern", [r"\p{L}+", "(?<name>a)", "[", "a{99999999999}"])
def test_a_pattern_that_only_ecmascript_knows_is_left_out_and_reported(pattern: str) -> None:
    findings = Findings()
    schema = {"items": {"pattern": pattern}, "patternProperties": {pattern: {}, "^a": {}}, "pattern": "^b$"}
    assert without_unusable_patterns(schema, findings) == {
        "items": {},
        "patternProperties": {"^a": {}},
        "pattern": "^b$",
    }
    assert findings.entries


def test_schemas_that_refer_to_others_several_times_do_not_multiply() -> None:
    schemas = {f"S{n}": {"anyOf": [ref(f"S{n + 1}"), ref(f"S{n + 1}")]} for n in range(60)} | {
        "S60": {"type": "string"}
    }
    written, _ = contained({"items": ref("S0")}, **schemas)
    assert len(written["$defs"]) == 59
