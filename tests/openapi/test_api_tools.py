from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.openapi.api_tools import Choices, tools_of
from memos_mcp.openapi.findings import Finding
from tests.openapi.mapping import mapped, operation, reasons


def test_an_operation_has_the_id_of_its_source_and_its_own() -> None:
    paths = {
        "/pets": {"get": {"operationId": "listPets"}, "post": {"operationId": "listPets"}, "put": {}},
        "/pets/{id}/toys.json": {"get": {"operationId": " spaces "}},
        "/pets/": {"put": {}},
    }
    assert list(mapped(paths).tools) == [
        "shop.listPets",
        "shop.post_pets",
        "shop.put_pets",
        "shop.get_pets_id_toys_json",
        "shop.put_pets_2",
    ]
    assert list(mapped({"/": {"get": {}}}, Choices(source="Pet shop")).tools) == ["Pet shop.get"]


def test_a_source_is_named_after_the_title() -> None:
    assert mapped({}, info={"title": "  The Pet/Shop API (v2) "}).source == "the-pet-shop-api-v2"
    assert mapped({}, info={"title": "ペット"}).source == "api"
    assert mapped({}, info=None).source == "api"


@pytest.mark.parametrize(
    ("fields", "name", "description"),
    [
        ({"summary": "List pets", "description": "All of them."}, "List pets", "List pets\n\nAll of them."),
        ({"summary": "List pets.", "description": "List pets of a shop."}, "List pets.", "List pets of a shop."),
        ({"operationId": "listPets", "deprecated": True}, "listPets", "Deprecated.\n\nGET /things of Shop."),
        ({"summary": " ", "description": 7}, "GET /things", "GET /things of Shop."),
    ],
)
def test_a_tool_is_described_by_summary_and_description(fields: Any, name: str, description: str) -> None:
    tool = operation(fields)
    assert (tool.name, tool.description) == (name, description)


def test_a_long_description_is_shortened_and_reported() -> None:
    api = mapped({"/a": {"get": {"summary": "Short", "description": "word " * 1000}}})
    (tool,) = api.tools.values()
    assert len(tool.description) <= 4000
    assert tool.description.endswith("word …")
    assert reasons(api, "changed") == ["The description has 5,006 characters and was shortened to 4,000."]


def test_every_method_is_that_of_the_tool_and_others_are_reported() -> None:
    methods = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
    api = mapped({"/a": {method: {} for method in methods} | {"parameters": [], "x-a": {}, "summary": "A"}})
    assert [tool.method for tool in api.tools.values()] == ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]
    assert [finding for finding in api.findings if finding.effect == "not added"] == [
        Finding("OPTIONS /a", "not added", "A tool cannot have this method."),
        Finding("TRACE /a", "not added", "A tool cannot have this method."),
    ]
    assert api.operations == 8


def test_operations_are_chosen_by_tag_id_or_path() -> None:
    paths = {
        "/a": {"get": {"tags": ["pets"], "operationId": "one"}, "put": {"operationId": "two", "parameters": [{}]}},
        "/b": {"get": {"operationId": "three"}},
    }
    for include, chosen in ((["pets"], {"shop.one"}), (["one", "shop.three"], {"shop.one", "shop.three"})):
        api = mapped(paths, Choices(include=include))
        assert api.chosen == chosen
        assert set(api.tools) == {"shop.one", "shop.three"}
        assert api.findings == []
    assert mapped(paths, Choices(include=["GET /b"])).chosen == {"shop.three"}
    with pytest.raises(Invalid, match=r"No operation has the tag or the id 'pet'\. Did you mean pets\?"):
        mapped(paths, Choices(include=["pet"]))


def test_a_large_request_schema_is_shortened_step_by_step_and_reported() -> None:
    def fields(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"properties": properties}}}}
        }

    inner = {"type": "object", "description": "words " * 9, "properties": {"x": {"description": "long " * 80}}}
    nested = {
        "type": "object",
        "properties": {f"p{n}": {"type": "integer", "enum": list(range(50))} for n in range(200)},
    }
    api = mapped(
        {
            "/examples": {"post": fields({f"p{n}": {"example": "x" * 200} for n in range(200)})},
            "/words": {"post": fields({f"p{n}": inner for n in range(90)})},
            "/levels": {"post": fields({"a": {"type": "object", "properties": {"b": nested}}})},
            "/names": {"post": fields({f"{n}" * 9: {} for n in range(1000, 2000)})},
        }
    )
    assert [reason.partition(": ")[2][:60] for reason in reasons(api, "changed")] == [
        "examples are left out.",
        "examples and inner descriptions are left out.",
        "descriptions are left out, and what is nested more than 3 le",
    ]
    words, levels = (tool.request_schema for tool in list(api.tools.values())[1:])
    assert words is not None
    assert levels is not None
    assert words["properties"]["p0"]["description"] == inner["description"]
    assert levels["properties"]["a"]["properties"]["b"]["properties"]["p0"] == {"type": "integer"}
    assert reasons(api, "not added") == [
        "The request schema has more than 30,000 characters, even without descriptions and details."
    ]


def test_callbacks_of_the_service_are_no_tools() -> None:
    api = mapped({"/a": {"get": {}}}, version="3.1.0", webhooks={"sold": {"post": {}}})
    assert len(api.tools) == 1
    assert reasons(api, "noticed") == ["Its webhooks are requests that the service sends, and no tools."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swagger: '2.0'\npaths: {}", "is Swagger 2.0. Convert it to OpenAPI 3"),
        ("swagger: 2.0\npaths: {}", "is Swagger 2.0"),
        ("openapi: 4.0.0", "is not an OpenAPI 3.0 or 3.1 document: its field openapi is '4.0.0'"),
        ("asyncapi: 3.0.0", "its field openapi is 'None'"),
        ("- a", "is not an OpenAPI document: it is not an object"),
        ("openapi: 3.1.0\npaths: []", "its field paths is not an object"),
        ("", "it is not an object"),
        ("<html></html>", "it is not an object"),
    ],
)
def test_text_that_is_no_openapi_is_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        tools_of(text.encode(), "shop.yaml", Choices())
