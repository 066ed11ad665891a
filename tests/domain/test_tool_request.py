from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.request_locations import Method
from memos_mcp.domain.tool import NewTool

ID = {"properties": {"id": {"type": "string"}}, "required": ["id"]}


def check(url: Any = "https://host/", method: Any = None, response: Any = None, **schema: Any) -> None:
    NewTool("t", "t", "d", url, schema or None, response, method=method).check()


@pytest.mark.parametrize(
    "url", ["https://host/pets/{id}", "https://host/{id}:close?x={id}", "https://host/a-{id}.json"]
)
def test_a_name_in_braces_is_a_required_property(url: str) -> None:
    check(url, "GET", **ID)
    check(url, **{"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", **ID}}})
    with pytest.raises(Invalid, match="no property of that name"):
        check(url)
    with pytest.raises(Invalid, match="the property is optional"):
        check(url, properties=ID["properties"])


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://{id}.example.com/", "outside its path"),
        ("https://host/#{id}", "outside its path"),
        ("https://host/{id", "brace without its pair"),
        ("https://host/}id{", "brace without its pair"),
        ("https://host/{{id}}", "brace without its pair"),
        ("https://host/{}", "plain {name}"),
        ("https://host/{+id}", "plain {name}"),
        ("https://host/{id*}", "plain {name}"),
        ("https://host/{id:3}", "plain {name}"),
        ("https://host/{id=pets/*}", "plain {name}"),
        ("https://host/x{?id}", "plain {name}"),
    ],
)
def test_another_template_is_refused(url: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check(url, **ID)


@pytest.mark.parametrize(
    ("method", "schema", "message"),
    [
        (None, {"x-method": "TRACE"}, "Use one of GET, POST, PUT, PATCH, DELETE, HEAD"),
        ("PUT", {"x-method": "GET"}, "method is PUT, but x-method"),
        ("POST", {"x-method": "GET"}, "method is POST, but x-method"),
        (None, {"properties": {"a": {"x-in": "cookie"}}}, "Use one of path, query, header, body"),
        (None, {"properties": {"a": {"x-style": "matrix"}}}, "x-style of 'a'"),
        (None, {"properties": {"a": {"x-in": "path"}}}, "endpoint_url has no {a}"),
        ("GET", {"properties": {"a": {"x-in": "body"}}}, "a GET has none"),
        (None, {"properties": {"Authorization": {"x-in": "header"}}}, "memos-as credential set"),
        (None, {"properties": {"a": {"x-in": "header", "x-name": "Host"}}}, "written by the caller"),
        (None, {"properties": {"a b": {"x-in": "header"}}}, "name of a header"),
        (None, {"x-body": "xml"}, "Use one of json, form, multipart, none"),
        (None, {"x-content-type": "text/plain"}, "x-content-type is 'text/plain'"),
        (None, {"x-content-type": "a/json\r\nHost: b"}, "x-content-type is"),
        (None, {"x-body": "form", "x-content-type": "application/json"}, "x-content-type is"),
        (None, {"x-body": "none", "properties": {"a": {}}}, "x-body is none"),
        (None, {"x-body-property": "b", "properties": {"a": {}}}, "exactly that property"),
        (None, {"x-body-property": "b", "properties": {"a": {}, "b": {}}}, "exactly that property"),
    ],
)
def test_a_request_that_cannot_be_built_is_refused(method: Method | None, schema: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check(method=method, **schema)


def test_a_template_that_is_sent_elsewhere_is_refused() -> None:
    with pytest.raises(Invalid, match="endpoint_url has it in braces"):
        check("https://host/{id}", properties={"id": {"x-in": "query"}}, required=["id"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {}},
        {"type": "string"},
        {"type": ["array", "null"]},
        {"items": {"type": "string"}},
        {"enum": ["a"]},
        {"anyOf": [{"type": "object"}, {"type": "string"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}},
        {"$ref": "#"},
    ],
)
def test_a_root_that_is_no_object_is_refused_with_how_to_wrap_it(schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match='"x-body-property": "body"'):
        check(**schema)
    check(type="object", properties={"body": {"items": {}}}, required=["body"], **{"x-body-property": "body"})


@pytest.mark.parametrize(
    "schema",
    [
        {"description": "anything"},
        {"type": ["object", "null"]},
        {"properties": {}},
        {"allOf": [{"properties": {"a": {}}}, {"required": ["a"]}]},
        {"oneOf": [{"type": "object"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "object"}}},
    ],
)
def test_a_root_that_is_an_object_is_accepted(schema: dict[str, Any]) -> None:
    check(**schema)


@pytest.mark.parametrize("target", ["#/components/schemas/Pet", "#/$defs/a/b", "#nowhere", "#/$defs/list/5"])
def test_a_reference_to_nothing_is_refused_by_name(target: str) -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"$ref": target}]}}, "$defs": {"a": {}, "list": [{}]}}
    with pytest.raises(Invalid, match="request_schema refers to"):
        check(**schema)
    with pytest.raises(Invalid, match="response_schema refers to"):
        check(response=schema)


def test_a_reference_to_something_is_accepted() -> None:
    pet: dict[str, Any] = {"type": "object", "properties": {"parent": {"$ref": "#/components/schemas/Pet"}}}
    check(response={"$ref": "#/components/schemas/Pet", "components": {"schemas": {"Pet": pet}}})
    check(response={"items": [{"$anchor": "a"}, {"$ref": "#a"}, {"$ref": "#/items/0"}, {"$ref": "#"}]})
    check(response={"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {}}})
    check(response={"$defs": {"a": {"$id": "https://host/a", "$defs": {"b": {}}, "$ref": "#/$defs/b"}}})


@pytest.mark.parametrize(
    "parameter",
    [
        "api_key=abc",
        "apikey=abc",
        "X-Api-Key=abc",
        "access_token=abc",
        "token=abc",
        "client_secret=abc",
        "secret=abc",
        "password=abc",
        "sig=abc",
        "X-Amz-Signature=abc",
        "key=AIzaSyD4f9c21b7",
        "key=4f9c21b7",
        "code=4f9c21b7==",
    ],
)
def test_a_secret_in_a_url_is_refused_without_repeating_it(parameter: str) -> None:
    for url in (f"https://host/?{parameter}", f"https://host/?a=1&{parameter}", f"https://host/#{parameter}"):
        with pytest.raises(Invalid, match="memos-as credential set") as refusal:
            check(url)
        assert parameter.partition("=")[2] not in str(refusal.value)


@pytest.mark.parametrize("query", ["key=name", "key=created_at", "key=5", "q=secret", "tokens=5", "page=2", "api_key="])
def test_what_is_no_secret_is_accepted_in_a_url(query: str) -> None:
    check(f"https://host/?{query}")


def test_a_secret_may_be_a_parameter() -> None:
    check("https://host/?token={id}", **ID)


def test_a_tool_of_an_mcp_server_has_no_http_request() -> None:
    schema = {"type": "object", "properties": {"a": {"x-in": "cookie"}}}
    NewTool("t", "t", "d", "mcp://files/read", schema, source="files").check()
    with pytest.raises(Invalid, match="must start with"):
        NewTool("t", "t", "d", "mcp://files/read", schema).check()
