import json
from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.openapi.api_tools import Choices
from memos_mcp.openapi.findings import Findings
from memos_mcp.openapi.references import Definitions, Unresolvable
from tests.openapi.mapping import mapped, reasons

FILES = {
    "paths/things.yaml": """
item:
  get: {$ref: '#/read'}
read:
  parameters: [{$ref: '../parameters.yaml#/limit'}]
  responses:
    '200': {content: {application/json: {schema: {$ref: "../schemas/thing.json"}}}}
""",
    "parameters.yaml": "limit: {name: limit, in: query, schema: {type: integer}}",
    "schemas/thing.json": json.dumps(
        {"properties": {"$ref": {"type": "string"}, "parts": {"items": {"$ref": "#"}}}, "default": {"$ref": "#/no"}}
    ),
    "broken.yaml": "a: [",
}


def read_file(path: str) -> bytes:
    if path not in FILES:
        raise Invalid(f"{path} cannot be read: No such file or directory.")
    return FILES[path].encode()


def test_references_to_other_files_are_followed() -> None:
    api = mapped({"/things": {"$ref": "./paths/things.yaml#/item"}}, Choices(read_file=read_file))
    (tool,) = api.tools.values()
    assert tool.request_schema == {"type": "object", "properties": {"limit": {"type": "integer"}}}
    assert tool.response_schema == {
        "$ref": "#/$defs/thing.json",
        "$defs": {
            "thing.json": {
                "properties": {"$ref": {"type": "string"}, "parts": {"items": {"$ref": "#/$defs/thing.json"}}},
                "default": {"$ref": "#/no"},
            }
        },
    }
    assert api.findings == []


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("missing.yaml", "cannot be read: missing.yaml cannot be read: No such file or directory"),
        ("broken.yaml#/a", "cannot be read: broken.yaml is neither JSON nor YAML"),
        ("https://other.test/a.yaml#/b", "is another document on the web, which is not fetched"),
        ("//other.test/a.yaml", "is another document on the web, which is not fetched"),
        ("#thing", "is an anchor, which is not resolved"),
        ("#/components/schemas/Missing", "is not in the document"),
        ("#/paths/~1things/get/5", "is not in the document"),
    ],
)
def test_a_reference_that_leads_nowhere_is_reported_with_the_reason(reference: str, reason: str) -> None:
    parameters = [{"name": "a", "in": "query", "schema": {"$ref": reference}}]
    api = mapped({"/things": {"get": {"parameters": parameters}}}, Choices(read_file=read_file))
    assert len(api.tools) == 1
    (found,) = reasons(api, "changed")
    assert found.startswith(f"The reference {reference} {reason}")


def test_files_are_not_read_where_there_are_none() -> None:
    api = mapped({"/things": {"$ref": "paths/things.yaml#/item"}})
    assert not api.tools
    assert "is read only beside a file" in reasons(api, "not added")[0]


def test_pointers_are_decoded() -> None:
    found: Any = {"paths": {"/a b/{c}": [{"~": 1}]}}
    definitions = Definitions(found, Findings())
    assert definitions.find("#/paths/~1a%20b~1%7Bc%7D/0/~0") == 1
    assert definitions.find("#") == found


def test_references_in_circles_are_refused() -> None:
    definitions = Definitions({"a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}, Findings())
    with pytest.raises(Unresolvable, match="leads in circles"):
        definitions.follow({"$ref": "#/a"})


def test_words_beside_a_reference_override_those_of_its_target() -> None:
    definitions = Definitions({"a": {"description": "old", "in": "query"}}, Findings())
    assert definitions.follow({"$ref": "#/a", "description": "new"}) == {"description": "new", "in": "query"}
