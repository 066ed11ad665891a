"""Endpoints and schemas that no agent could use are refused; nothing is ever fetched or executed."""

import json
import socket
from typing import Any
from uuid import uuid4

import anyio
import pytest

from tests.acceptance.raw_clients import RawClient, refused, registered, tool_arguments

pytestmark = pytest.mark.anyio

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"

BAD_URLS = [
    "",
    "example.org/weather",
    "//example.org/weather",
    "ftp://example.org/weather",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,hello",
    "http://",
    "https:///weather",
    "http://:8080/weather",
    "https://user@example.org/",
    "https://user:secret@example.org/",
    "https://:secret@example.org/",
    "https://example.org:99999/",
    "https://example.org:port/",
    "http://[::1/",
    "https://example.org/a b",
    " https://example.org/",
    "https://example.org/\n",
    "https://example.org/\r\nHost: other",
    "java\tscript:alert(1)",
    "https://example.org/\u200b",
    "https://example.org/" + "x" * 2_000,
]
GOOD_URLS = [
    "http://localhost:8080/",
    "https://[2001:db8::1]:8443/weather?city=a%20b#today",
    "HTTPS://EXAMPLE.ORG",
    "https://müller.example/wetter?ort=köln",
    "https://example.org/" + "x" * 1_004,
    "https://example.org/user@example.org",
]


@pytest.mark.parametrize("url", BAD_URLS, ids=range(len(BAD_URLS)))
async def test_an_endpoint_that_no_agent_should_call_is_refused(client: RawClient, url: str) -> None:
    reason = await refused(client, "register_tool", tool_arguments(endpoint_url=url))
    assert "endpoint_url" in reason
    assert "secret" not in reason


@pytest.mark.parametrize("url", GOOD_URLS, ids=range(len(GOOD_URLS)))
async def test_an_unusual_endpoint_is_kept_exactly(client: RawClient, url: str) -> None:
    assert (await registered(client, endpoint_url=url))["endpoint_url"] == url


async def test_registering_a_tool_makes_no_request(client: RawClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        schema = {"$id": f"{url}id", "$comment": url, "properties": {"a": {"default": url, "format": "uri"}}}
        tool = await registered(client, endpoint_url=url, request_schema=schema, response_schema=schema)
        assert (tool["endpoint_url"], tool["request_schema"]) == (url, schema)
        for bad in ({"$ref": f"{url}schema"}, {"$schema": f"{url}dialect"}):
            await refused(client, "register_tool", tool_arguments(endpoint_url=url, request_schema=bad))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("field", ["request_schema", "response_schema"])
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "banana"},
        {"type": ["string", "banana"]},
        {"type": 5},
        {"properties": ["a"]},
        {"properties": {"a": 5}},
        {"properties": {"a": {"properties": {"b": {"type": "text"}}}}},
        {"required": "a"},
        {"enum": "a"},
        {"minLength": -1},
        {"minimum": "1"},
        {"items": 5},
        {"allOf": []},
        {"$schema": DRAFT_2020, "nullable": 1, "exclusiveMinimum": True},
        {"$schema": DRAFT_7, "type": "banana"},
    ],
    ids=json.dumps,
)
async def test_an_invalid_json_schema_is_refused(client: RawClient, field: str, schema: dict[str, Any]) -> None:
    reason = await refused(client, "register_tool", tool_arguments(**{field: schema}))
    assert f"{field} is not JSON Schema" in reason


@pytest.mark.parametrize(
    "dialect", ["https://example.org/dialect", "urn:nothing", "", "banana", "http://json-schema.org/draft-99/schema#"]
)
async def test_an_unknown_dialect_is_refused(client: RawClient, dialect: str) -> None:
    reason = await refused(client, "register_tool", tool_arguments(request_schema={"$schema": dialect}))
    assert "unknown $schema" in reason


@pytest.mark.parametrize("dialect", [5, None, ["a"], {"a": 1}], ids=json.dumps)
async def test_a_dialect_that_is_not_a_string_is_refused(client: RawClient, dialect: Any) -> None:
    assert "$schema" in await refused(client, "register_tool", tool_arguments(request_schema={"$schema": dialect}))


@pytest.mark.parametrize(
    "target",
    ["https://example.org/schema.json", "other.json", "other.json#/$defs/a", "file:///etc/passwd", "urn:x:y", "//x"],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
async def test_an_external_reference_is_refused(client: RawClient, keyword: str, target: str) -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "null"}, {keyword: target}]}}}
    reason = await refused(client, "register_tool", tool_arguments(request_schema=schema))
    assert "refers to another document" in reason


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"},
        {"properties": {"$ref": {"type": "string"}, "$schema": {"type": "string"}}},
        {"$schema": DRAFT_7, "definitions": {"a": {"type": "integer"}}, "items": [{"$ref": "#/definitions/a"}]},
        {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 0, "exclusiveMinimum": True},
        {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}}},
        {"type": "string", "nullable": True, "discriminator": {"propertyName": "kind"}, "example": "x", "xml": {}},
        {"type": "string", "format": "no-such-format", "x-mcp-header": "X", "unheard-of": [None, True, 1.5]},
        {"enum": [None, True, False, 0, 0.1, "", [], {}], "const": None, "default": {"a": [1, {"b": None}]}},
        {"properties": {"": {}, " ": {}, "a.b/c~d": {}, "__proto__": {}, "constructor": {}, "💥": {}, "$where": {}}},
    ],
    ids=json.dumps,
)
async def test_an_unusual_schema_is_kept_exactly(client: RawClient, schema: dict[str, Any]) -> None:
    definitions: dict[str, Any] = {
        keyword: schema[keyword] for keyword in ("$defs", "definitions") if keyword in schema
    }
    holder: dict[str, Any] = {"type": "object", "properties": {"x": schema}, **definitions}
    tool = await registered(client, request_schema=holder, response_schema=schema)
    assert (tool["request_schema"], tool["response_schema"]) == (holder, schema)


@pytest.mark.parametrize("schema", [{"type": "array"}, {"items": {}}, {"type": ["string", "null"]}, {"enum": [1]}])
async def test_a_request_schema_that_is_no_object_is_refused_with_how_to_wrap_it(
    client: RawClient, schema: dict[str, Any]
) -> None:
    reason = await refused(client, "register_tool", tool_arguments(request_schema=schema))
    assert '"x-body-property": "body"' in reason


@pytest.mark.parametrize("target", ["#/components/schemas/Pet", "#/$defs/nowhere", "#nowhere"])
async def test_a_reference_to_nothing_is_refused_by_name(client: RawClient, target: str) -> None:
    for field in ("request_schema", "response_schema"):
        schema = {"type": "object", "properties": {"pet": {"$ref": target}}}
        reason = await refused(client, "register_tool", tool_arguments(**{field: schema}))
        assert f"{field} refers to '{target}'" in reason


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", "(.*.*.*.*.*.*)*$", "(?:a|aa)+$"]
)
async def test_a_slow_pattern_is_kept_and_never_executed(client: RawClient, pattern: str) -> None:
    bait = "a" * 40 + "!"
    schema = {
        "properties": {"a": {"type": "string", "pattern": pattern, "default": bait, "examples": [bait], "const": bait}},
        "patternProperties": {pattern: {}},
        bait: bait,
    }
    with anyio.fail_after(3):
        tool = await registered(client, request_schema=schema)
        found = (await client.call("discover_tools", {"query": bait})).data
    assert (tool["request_schema"], found["degraded"]) == (schema, None)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{2,1}", "*", "\\p{Greek}", "(?<name>x)\\k<name>"])
async def test_a_pattern_that_python_cannot_read_neither_breaks_nor_changes_anything(
    client: RawClient, pattern: str
) -> None:
    arguments = tool_arguments(request_schema={"properties": {"a": {"pattern": pattern}}})
    answer = await client.call("register_tool", arguments)
    if answer.message["result"].get("isError"):
        assert "is not JSON Schema" in answer.refusal
        return
    found = await client.call("discover_tools", {"query": arguments["tool_id"], "detail": "full"})
    assert found.data["tools"][0]["request_schema"] == arguments["request_schema"]


async def test_a_schema_too_large_is_refused_with_the_limit(client: RawClient) -> None:
    huge = {"properties": {f"p{number}": {"description": "x" * 100} for number in range(400)}}
    assert "30,000" in await refused(client, "register_tool", tool_arguments(request_schema=huge))
    larger = {"description": "x" * 1_000_000}
    assert "1,000,000" in await refused(client, "register_tool", tool_arguments(response_schema=larger))


async def test_a_schema_up_to_the_limit_is_returned_whole(client: RawClient) -> None:
    schema = {"$comment": "x" * 29_985}
    assert len(json.dumps(schema, separators=(",", ":"))) == 30_000
    assert (await registered(client, request_schema=schema))["request_schema"] == schema


async def test_registering_a_tool_again_updates_it(client: RawClient) -> None:
    tool_id = uuid4().hex
    outcomes = [
        (await client.call("register_tool", tool_arguments(tool_id=tool_id, name=name))).data
        for name in ("one", "one", "two")
    ]
    assert [(done["outcome"], done["version"]) for done in outcomes] == [
        ("created", 1),
        ("unchanged", 1),
        ("updated", 2),
    ]
