import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.formparsers import MultiPartParser

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.outcomes import BadArguments, CallFailed
from memos_mcp.tool_calling.requests import HttpRequest, request_of

pytestmark = pytest.mark.anyio

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def request(
    arguments: dict[str, Any], url: Any = "https://host/pets", method: Any = "POST", **schema: Any
) -> HttpRequest:
    return request_of(CalledTool("t", url, method, {"type": "object", **schema} if schema else None), arguments)


@pytest.mark.parametrize(
    ("method", "query", "content"),
    [
        ("GET", "word=a%20%26b", None),
        ("HEAD", "word=a%20%26b", None),
        ("DELETE", "word=a%20%26b", None),
        ("POST", "", b'{"word":"a &b"}'),
        ("PUT", "", b'{"word":"a &b"}'),
        ("PATCH", "", b'{"word":"a &b"}'),
    ],
)
def test_an_argument_is_sent_where_its_method_says(method: str, query: str, content: bytes | None) -> None:
    made = request({"word": "a &b"}, method=method)
    assert (made.method, urlsplit(made.url).query, made.content) == (method, query, content)


def test_each_property_is_sent_where_its_schema_says() -> None:
    made = request(
        {"id": "a/b ü", "dry": True, "X-Trace": "t1", "name": "Mara", "other": None},
        "https://host/pets/{id}/toys?fixed=1",
        "PUT",
        properties={
            "id": {"type": "string"},
            "dry": {"x-in": "query"},
            "X-Trace": {"x-in": "header"},
            "name": {},
        },
    )
    assert made.url == "https://host/pets/a%2Fb%20%C3%BC/toys?fixed=1&dry=true"
    assert made.headers == {"X-Trace": "t1", "Content-Type": "application/json"}
    assert json.loads(made.content or b"") == {"name": "Mara", "other": None}


def test_x_method_counts_where_the_method_is_the_default_and_none_is_replaced() -> None:
    assert request({}, **{"x-method": "delete"}).method == "DELETE"
    assert request({}, method="PUT", **{"x-method": "GET"}).method == "PUT"
    with pytest.raises(CallFailed, match="method TRACE is not supported"):
        request({}, **{"x-method": "TRACE"})


@pytest.mark.parametrize("value", ["", [], "..", ".", "../admin", "a/../b", "a\\..\\b", None, {}])
def test_a_value_that_would_lead_to_another_path_is_refused(value: Any) -> None:
    if value is None:
        assert request({"id": value}, "https://host/pets/{id}").url == "https://host/pets/null"
        return
    with pytest.raises(BadArguments, match="id"):
        request({"id": value}, "https://host/pets/{id}")
    with pytest.raises(BadArguments, match="id is missing"):
        request({}, "https://host/pets/{id}")


def test_a_list_in_a_path_is_joined_by_commas() -> None:
    assert request({"id": ["a,b", 2]}, "https://host/pets/{id}").url == "https://host/pets/a%2Cb,2"
    assert request({"id": {"x": 1, "y": 2}}, "https://host/pets/{id}").url == "https://host/pets/x,1,y,2"


@pytest.mark.parametrize(
    ("value", "keywords", "query"),
    [
        (["a", "b"], {}, "q=a&q=b"),
        (["a", "b,c"], {"x-explode": False}, "q=a%2Cb%2Cc"),
        (["a", "b"], {"x-style": "pipeDelimited"}, "q=a%7Cb"),
        (["a", "b"], {"x-style": "spaceDelimited"}, "q=a%20b"),
        ([], {}, ""),
        (None, {}, ""),
        ({"a": 1}, {}, "q=%7B%22a%22%3A1%7D"),
        ({"a": 1, "b": [2, 3]}, {"x-explode": True}, "a=1&b=2&b=3"),
        ({"a": 1, "b": 2}, {"x-explode": False}, "q=a%2C1%2Cb%2C2"),
        ({"a": 1, "b": {"c": 2}}, {"x-style": "deepObject"}, "q%5Ba%5D=1&q%5Bb%5D%5Bc%5D=2"),
        (5, {"x-name": "q[]"}, "q%5B%5D=5"),
        ("", {}, "q="),
    ],
)
def test_a_query_parameter_is_written_in_its_style(value: Any, keywords: dict[str, Any], query: str) -> None:
    made = request({"q": value}, method="GET", properties={"q": keywords})
    assert urlsplit(made.url).query == query


@pytest.mark.parametrize("value", ["a\r\nX-Other: 1", "ü", " a", "a\x00"])
def test_a_header_that_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(BadArguments, match="printable ASCII"):
        request({"X-Trace": value}, properties={"X-Trace": {"x-in": "header"}})


def test_a_body_may_be_another_value_than_an_object() -> None:
    whole = {"properties": {"id": {}, "body": {"x-in": "body"}}, "x-body-property": "body"}
    made = request({"id": "5", "body": [1, "a"]}, "https://host/pets/{id}", "PUT", **whole)
    assert made.content == b'[1,"a"]'
    assert request({"id": "5"}, "https://host/pets/{id}", "PUT", **whole).content is None


def test_a_body_is_sent_unless_nothing_of_it_is_declared() -> None:
    assert request({}).content == b"{}"
    assert request({}, properties={"name": {}}).content == b"{}"
    assert request({"id": 5}, "https://host/pets/{id}/close", properties={"id": {}}).content is None
    assert request({}, **{"x-body": "none"}).content is None
    with pytest.raises(BadArguments, match="has no body, in which this would be sent: 'a'"):
        request({"a": 1}, **{"x-body": "none"})
    with pytest.raises(BadArguments, match="has no body, in which this would be sent: 'a'"):
        request({"a": 1}, method="GET", properties={"a": {"x-in": "body"}})


def test_a_delete_may_have_a_body() -> None:
    made = request({"id": "5", "why": "x"}, method="DELETE", properties={"why": {"x-in": "body"}, "id": {}})
    assert (made.url, made.content) == ("https://host/pets?id=5", b'{"why":"x"}')


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    made = request(fields, **{"x-body": "form"})
    assert made.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert dict(parse_qsl((made.content or b"").decode(), keep_blank_values=True)) == fields


def test_a_form_has_lists_repeated_and_objects_as_json() -> None:
    made = request({"a": [1, 2], "b": {"c": True}, "d": None}, **{"x-body": "form"})
    assert parse_qsl((made.content or b"").decode()) == [("a", "1"), ("a", "2"), ("b", '{"c":true}')]


async def test_a_multipart_body_has_files_and_fields() -> None:
    made = request(
        {"title": "Bücher", "file": "content\r\n", "raw": "AAE=", "tags": ["a", "b"], "meta": {"x": 1}, "none": None},
        **{
            "x-body": "multipart",
            "properties": {
                "file": {"type": "string", "format": "binary"},
                "raw": {"type": "string", "contentEncoding": "base64"},
            },
        },
    )

    async def content() -> Any:
        yield made.content

    form = await MultiPartParser(httpx2_headers(made), content()).parse()
    assert form["title"] == "Bücher"
    assert form.getlist("tags") == ["a", "b"]
    assert form["meta"] == '{"x":1}'
    assert "none" not in form
    for name, wanted in (("file", b"content\r\n"), ("raw", b"\x00\x01")):
        upload: Any = form[name]
        assert (upload.filename, await upload.read()) == (name, wanted)
    await form.close()
    with pytest.raises(BadArguments, match="not base64"):
        request({"a": "§"}, **{"x-body": "multipart", "properties": {"a": {"contentEncoding": "base64"}}})


def httpx2_headers(made: HttpRequest) -> Any:
    return httpx2.Headers(made.headers)


def test_a_form_that_is_no_object_is_refused() -> None:
    for kind in ("form", "multipart"):
        with pytest.raises(BadArguments, match="only an object"):
            request({"body": [1]}, **{"x-body": kind, "x-body-property": "body", "properties": {"body": {}}})


def test_read_only_properties_are_not_sent() -> None:
    pet = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"readOnly": True}, "name": {}, "tags": {"items": {"$ref": "#/$defs/tag"}}},
    }
    tag = {"properties": {"id": {"type": "integer", "readOnly": True}, "label": {}}}
    made = request(
        {"pet": {"id": 5, "name": "Mara", "tags": [{"id": 1, "label": "a"}]}},
        properties={"pet": {"$ref": "#/$defs/pet"}},
        **{"$defs": {"pet": pet, "tag": tag}},
    )
    assert json.loads(made.content or b"") == {"pet": {"name": "Mara", "tags": [{"label": "a"}]}}
    assert made.unsent == ["pet/id", "pet/tags/0/id"]


def test_a_url_that_no_server_accepts_is_refused() -> None:
    with pytest.raises(BadArguments, match="the limit is 60,000"):
        request({"q": "x" * 60_000}, method="GET")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"x-in": "cookie"}}},
        {"x-body": "xml"},
        {"properties": {"a": {"x-in": "header", "x-name": "Host"}}},
        {"properties": {"a": {"x-in": "header", "x-name": "a b"}}},
    ],
)
def test_what_is_not_supported_is_never_replaced(schema: dict[str, Any]) -> None:
    with pytest.raises(CallFailed, match="not supported"):
        request({"a": 1}, **schema)


@given(TEXT.filter(lambda text: text and ".." not in text and text != "."))
def test_any_text_in_a_path_is_one_segment_and_read_as_it_was_written(value: str) -> None:
    url = httpx2.URL(request({"id": value}, "https://host/pets/{id}/toys", "GET").url)
    assert url.host == "host"
    segments = url.raw_path.decode("ascii").split("/")
    assert segments[:2] + segments[3:] == ["", "pets", "toys"]
    assert unquote(segments[2]) == value


@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT, min_size=1, max_size=3), max_size=4))
def test_any_text_in_a_query_is_read_as_it_was_written(values: dict[str, Any]) -> None:
    raw = httpx2.URL(request(values, method="GET").url).query.decode("ascii")
    wanted = [
        (name, text) for name, value in values.items() for text in (value if isinstance(value, list) else [value])
    ]
    assert parse_qsl(raw, keep_blank_values=True) == wanted


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_any_json_is_read_as_it_was_written(arguments: dict[str, Any]) -> None:
    assert json.loads(request(arguments).content or b"") == arguments


def test_json_is_sent_under_the_content_type_that_the_schema_names() -> None:
    patch = {"x-body-property": "body", "x-content-type": "application/json-patch+json", "properties": {"body": {}}}
    made = request({"body": [{"op": "remove", "path": "/a"}]}, method="PATCH", **patch)
    assert made.headers["Content-Type"] == "application/json-patch+json"
    assert made.content == b'[{"op":"remove","path":"/a"}]'
