import json
from typing import Any

import pytest

from memos_mcp.domain.tool import NewTool
from tests.openapi.mapping import mapped, operation, reasons, request

PET = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


def body(schema: Any, type_: str = "application/json", *, required: bool = True, **media: Any) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {type_: {"schema": schema, **media}}}}


def tool_with(
    schema: Any, type_: str = "application/json", method: str = "post", *, required: bool = True, **media: Any
) -> NewTool:
    return operation(body(schema, type_, required=required, **media), method=method)


def test_the_properties_of_a_body_are_arguments() -> None:
    tool = tool_with(PET)
    assert tool.request_schema == PET
    sent = request(tool, name="Mara", age=3)
    assert (sent.method, sent.headers["Content-Type"]) == ("POST", "application/json")
    assert sent.content == b'{"name":"Mara","age":3}'


def test_a_body_of_several_parts_is_one_object() -> None:
    parts = {"allOf": [PET, {"properties": {"age": {"minimum": 0}, "x": {}}, "required": ["x"]}]}
    schema = tool_with(parts).request_schema
    assert schema is not None
    assert schema["required"] == ["name", "x"]
    assert schema["properties"]["age"] == {"allOf": [{"type": "integer"}, {"minimum": 0}]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "string"},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"oneOf": [PET, {"type": "array"}]},
        {**PET, "minProperties": 1},
        {},
    ],
)
def test_a_body_without_named_properties_is_one_argument(schema: Any) -> None:
    tool = tool_with(schema)
    assert tool.request_schema == {
        "type": "object",
        "properties": {"body": schema},
        "required": ["body"],
        "x-body-property": "body",
    }
    assert request(tool, body=[1, 2]).content == b"[1,2]"


def test_a_body_with_the_name_of_a_parameter_is_one_argument() -> None:
    fields = {
        "parameters": [{"name": "name", "in": "query", "schema": {}}, {"name": "body", "in": "header"}],
        **body(PET),
    }
    sent = request(operation(fields, method="put"), name="q", request_body={"name": "Mara"})
    assert (sent.url.partition("?")[2], sent.content) == ("name=q", b'{"name":"Mara"}')


def test_an_optional_body_of_a_delete_can_be_left_out() -> None:
    tool = tool_with(PET, method="delete", required=False)
    assert request(tool).content is None
    assert request(tool, body={"name": "Mara"}).content == b'{"name":"Mara"}'


def test_an_operation_without_a_body_is_sent_without_one() -> None:
    assert request(operation({}, method="post")).content is None


def test_the_content_type_of_json_is_kept() -> None:
    tool = tool_with({"type": "array"}, "application/json-patch+json", "patch")
    sent = request(tool, body=[{"op": "remove", "path": "/a"}])
    assert sent.headers["Content-Type"] == "application/json-patch+json"
    assert request(tool_with(PET, "*/*"), name="a").headers["Content-Type"] == "application/json"
    assert (
        request(tool_with(PET, "application/json; charset=utf-8"), name="a").headers["Content-Type"]
        == "application/json"
    )


def test_a_form_is_sent_as_a_form() -> None:
    fields = {"tags": {"type": "array"}, "at": {"type": "object"}}
    encoding = {"tags": {"style": "form", "explode": False}, "at": {"style": "deepObject", "explode": True}}
    schema = {"type": "object", "properties": fields}
    tool = tool_with(schema, "application/x-www-form-urlencoded", encoding=encoding)
    sent = request(tool, tags=["a", "b"], at={"x": 1})
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sent.content == b"tags=a%2Cb&at%5Bx%5D=1"


def test_files_are_sent_as_multipart() -> None:
    fields = {"file": {"type": "string", "format": "binary"}, "title": {"type": "string"}}
    tool = tool_with({"type": "object", "properties": fields}, "multipart/form-data")
    sent = request(tool, file="hello", title="Letter")
    assert sent.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert sent.content is not None
    assert b'name="file"; filename="file"' in sent.content


def test_json_is_chosen_among_several_content_types() -> None:
    content = {name: {"schema": PET} for name in ("text/plain", "multipart/form-data", "application/vnd.shop+json")}
    tool = operation({"requestBody": {"content": content}}, method="post")
    assert request(tool, name="a").headers["Content-Type"] == "application/vnd.shop+json"


def test_read_only_properties_are_kept_and_not_sent() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer", "readOnly": True}, "name": {}}}
    tool = tool_with(schema)
    assert json.loads(request(tool, id=1, name="a").content or b"") == {"name": "a"}


@pytest.mark.parametrize("type_", ["application/xml", "application/octet-stream", "text/plain"])
def test_an_operation_with_another_body_is_not_added(type_: str) -> None:
    api = mapped({"/a": {"post": body({}, type_), "put": body({}, type_, required=False)}})
    assert not api.tools
    assert reasons(api, "not added") == [f"Its body is {type_}; only JSON, forms and multipart can be sent."] * 2


def test_a_body_that_its_method_cannot_have_is_left_out_or_in_the_way() -> None:
    api = mapped({"/a": {"get": body(PET, required=False), "head": body(PET)}})
    assert list(api.tools) == ["shop.get_a"]
    assert reasons(api, "changed") == ["Its body is left out: GET is sent without one."]
    assert reasons(api, "not added") == ["Its body is required, and HEAD is sent without one."]


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (
            {"$ref": "#/components/requestBodies/Missing"},
            "Its body refers to #/components/requestBodies/Missing, which is not",
        ),
        ({}, "Its body has no content type."),
        ({"content": []}, "Its body has no content type."),
    ],
)
def test_a_body_that_is_not_described_is_reported(described: Any, reason: str) -> None:
    api = mapped({"/a": {"post": {"requestBody": described}}})
    (found,) = reasons(api, "not added")
    assert found.startswith(reason)
