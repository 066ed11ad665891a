from typing import Any

import pytest

from memos_mcp.domain.tool import NewTool
from tests.openapi.mapping import mapped, operation, reasons, request

STRINGS = {"type": "array", "items": {"type": "string"}}
POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}


def parameter(name: str, where: str, schema: Any = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": {"type": "string"} if schema is None else schema, **fields}


def tool_with(*parameters: dict[str, Any], path: str = "/things") -> NewTool:
    return operation({"parameters": list(parameters)}, path)


def test_parameters_of_path_query_and_header_arrive_there() -> None:
    tool = tool_with(
        parameter("id", "path", {"type": "integer"}, required=True),
        parameter("q", "query", description="The words.", deprecated=True),
        parameter("X-Trace", "header", required=True),
        path="/things/{id}",
    )
    assert tool.request_schema == {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "q": {"type": "string", "description": "The words.", "deprecated": True},
            "X-Trace": {"type": "string", "x-in": "header"},
        },
        "required": ["id", "X-Trace"],
    }
    sent = request(tool, **{"id": 7, "q": "a b", "X-Trace": "t"})
    assert (sent.url, sent.headers) == ("https://shop.test/v1/things/7?q=a%20b", {"X-Trace": "t"})


@pytest.mark.parametrize(
    ("fields", "schema", "value", "query"),
    [
        ({}, STRINGS, ["a", "b"], "p=a&p=b"),
        ({"explode": False}, STRINGS, ["a", "b"], "p=a%2Cb"),
        ({"style": "spaceDelimited"}, STRINGS, ["a", "b"], "p=a%20b"),
        ({"style": "pipeDelimited", "explode": False}, STRINGS, ["a", "b"], "p=a%7Cb"),
        ({}, POINT, {"x": 1, "y": 2}, "x=1&y=2"),
        ({"explode": False}, POINT, {"x": 1, "y": 2}, "p=x%2C1%2Cy%2C2"),
        ({"style": "deepObject", "explode": True}, POINT, {"x": 1, "y": 2}, "p%5Bx%5D=1&p%5By%5D=2"),
        ({}, {"oneOf": [{"type": "string"}, STRINGS]}, "a", "p=a"),
        ({}, {"oneOf": [{"type": "string"}, STRINGS]}, ["a", "b"], "p=a&p=b"),
    ],
)
def test_a_query_parameter_is_written_in_its_style(fields: Any, schema: Any, value: Any, query: str) -> None:
    assert request(tool_with(parameter("p", "query", schema, **fields)), p=value).url.partition("?")[2] == query


@pytest.mark.parametrize(
    ("style", "path"), [("simple", "/things/a"), ("label", "/things/.a"), ("matrix", "/things/;id=a")]
)
def test_a_path_parameter_is_written_in_its_style(style: str, path: str) -> None:
    tool = tool_with(parameter("id", "path", required=True, style=style), path="/things/{id}")
    assert request(tool, id="a").url == f"https://shop.test/v1{path}"


def test_lists_in_paths_and_headers_are_separated_by_commas() -> None:
    tool = tool_with(
        parameter("ids", "path", STRINGS, required=True), parameter("X-Ids", "header", STRINGS), path="/things/{ids}"
    )
    sent = request(tool, **{"ids": ["a", "b"], "X-Ids": ["c", "d"]})
    assert (sent.url, sent.headers["X-Ids"]) == ("https://shop.test/v1/things/a,b", "c,d")


def test_a_parameter_with_a_content_type_is_sent_as_json() -> None:
    fields = {"content": {"application/json": {"schema": POINT}}}
    tool = operation({"parameters": [{"name": "at", "in": "query", **fields}]})
    assert request(tool, at={"x": 1}).url.endswith("?at=%7B%22x%22%3A1%7D")
    fields = {"content": {"application/json": {"schema": STRINGS}}}
    tool = operation({"parameters": [{"name": "at", "in": "query", **fields}]})
    assert tool.request_schema is not None
    assert tool.request_schema["properties"]["at"]["contentMediaType"] == "application/json"


def test_parameters_of_an_operation_override_those_of_its_path() -> None:
    api = mapped(
        {
            "/things/{id}": {
                "parameters": [parameter("id", "path", required=True), parameter("q", "query")],
                "get": {"parameters": [parameter("q", "query", {"type": "integer"})]},
            }
        }
    )
    (tool,) = api.tools.values()
    assert tool.request_schema is not None
    assert tool.request_schema["properties"] == {"id": {"type": "string"}, "q": {"type": "integer"}}


def test_parameters_of_one_name_are_different_arguments() -> None:
    tool = tool_with(
        parameter("id", "query"), parameter("id", "header"), parameter("id", "path", required=True), path="/things/{id}"
    )
    sent = request(tool, id="a", id_in_query="b", id_in_header="c")
    assert (sent.url, sent.headers) == ("https://shop.test/v1/things/a?id=b", {"id": "c"})


def test_a_name_that_a_template_cannot_have_is_changed() -> None:
    tool = tool_with(parameter("thing id", "path", required=True), path="/things/{thing id}")
    assert request(tool, thing_id="a").url == "https://shop.test/v1/things/a"


def test_a_name_of_the_path_without_a_parameter_is_taken_as_a_text() -> None:
    api = mapped({"/things/{id}": {"get": {}}})
    (tool,) = api.tools.values()
    assert request(tool, id="a").url == "https://shop.test/v1/things/a"
    assert reasons(api, "changed") == ["The path has the name 'id' without a parameter; it is taken as a text."]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            parameter("s", "cookie"),
            "The cookie parameter 's' cannot be sent: only path, query and header parameters can",
        ),
        (parameter("Host", "header"), "The header parameter 'Host' is written by the caller of a tool"),
        (parameter("a b", "header"), "The header parameter 'a b' has a name that a header cannot have"),
        (
            parameter("p", "query", style="odd"),
            "The query parameter 'p' has the style 'odd', which does not exist there",
        ),
        (parameter("P", "header", POINT, explode=True), "The header parameter 'P' is an object whose properties"),
        (parameter("p", "path", required=False), "The path parameter 'p' is not in the path"),
    ],
)
def test_an_optional_parameter_that_cannot_be_sent_is_left_out_and_reported(given: Any, reason: str) -> None:
    api = mapped({"/things": {"get": {"parameters": [given]}}})
    (tool,) = api.tools.values()
    assert tool.request_schema == {"type": "object", "properties": {}}
    (found,) = reasons(api, "changed")
    assert found.startswith(reason)
    assert found.endswith("it is left out.")


@pytest.mark.parametrize(
    ("path", "given", "reason"),
    [
        ("/a", [parameter("s", "cookie", required=True)], "The cookie parameter 's' is required and cannot be sent"),
        ("/{p}", [parameter("p", "path", STRINGS, required=True, style="matrix")], "'p' is required and is a list"),
        ("/{p}", [parameter("p", "path", POINT, required=True, explode=True)], "'p' is required and is an object"),
        (
            "/a",
            [{"$ref": "#/components/parameters/Missing"}],
            "/Missing, which is not in the document",
        ),
        ("/a", [{"name": "p"}], "a parameter without a name or a location"),
        ("/a}{", [], "The path has a brace without a name"),
    ],
)
def test_an_operation_that_needs_what_cannot_be_sent_is_not_added(path: str, given: Any, reason: str) -> None:
    api = mapped({path: {"get": {"parameters": given}}})
    assert not api.tools
    (found,) = reasons(api, "not added")
    assert reason in found


def test_headers_that_are_no_parameters_are_noticed() -> None:
    api = mapped({"/a": {"get": {"parameters": [parameter("Authorization", "header", required=True)]}}})
    assert len(api.tools) == 1
    assert reasons(api, "noticed") == ["The header Authorization is written by the caller of a tool, and no argument."]


def test_circles_among_the_alternatives_of_a_parameter_end() -> None:
    loop = [{"$ref": f"#/components/schemas/S{n}"} for n in range(12)]
    schemas = {f"S{n}": {"anyOf": loop, "allOf": loop} for n in range(12)}
    fields = {"parameters": [parameter("p", "query", loop[0])]}
    tool = operation(fields, components={"schemas": schemas})
    assert tool.request_schema is not None
    assert len(tool.request_schema["$defs"]) == 12


def test_a_parameter_with_the_schema_of_a_read_only_property_is_sent() -> None:
    number = {"type": "integer", "readOnly": True}
    tool = operation(
        {"parameters": [parameter("id", "path", {"$ref": "#/components/schemas/Id"}, required=True)]},
        "/things/{id}",
        components={"schemas": {"Id": number}},
    )
    assert tool.request_schema == {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
