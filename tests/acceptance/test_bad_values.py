"""Numbers, nesting, times, ids, cursors and arguments that violate the contract."""

import base64
import json
import math
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, refused, registered, stored, tool_arguments

pytestmark = pytest.mark.anyio

JSON_ARGUMENTS = [
    ("store_memory", '{"content":"x","metadata":{"a":VALUE}}'),
    ("query_memory", '{"metadata":{"a":VALUE}}'),
    ("query_memory", '{"query":"x","metadata":{"a":VALUE}}'),
    ("register_tool", json.dumps(tool_arguments(request_schema={"default": "VALUE"})).replace('"VALUE"', "VALUE")),
    ("register_tool", json.dumps(tool_arguments(response_schema={"default": "VALUE"})).replace('"VALUE"', "VALUE")),
]
ARGUMENT_NAMES = ["stored-metadata", "listed-metadata", "queried-metadata", "request-schema", "response-schema"]


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize("depth", [65, 1_000, 200_000])
@pytest.mark.parametrize(("tool", "arguments"), JSON_ARGUMENTS, ids=ARGUMENT_NAMES)
async def test_deep_nesting_is_refused(client: RawClient, tool: str, arguments: str, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        reason = await refused(client, tool, arguments.replace("VALUE", nested(depth, opening, closing)))
        assert "nested" in reason
        assert "Flatten it" in reason


async def test_nesting_up_to_the_limit_is_stored_exactly(client: RawClient) -> None:
    metadata = json.loads(nested(64, '{"a":', "}"))
    assert (await stored(client, content="deep", metadata=metadata))["metadata"] == metadata


@pytest.mark.parametrize(("tool", "arguments"), JSON_ARGUMENTS, ids=ARGUMENT_NAMES)
async def test_a_number_that_json_cannot_carry_is_refused(client: RawClient, tool: str, arguments: str) -> None:
    for number in ("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" * 5_000, "-" + "1" * 5_000):
        assert "number" in await refused(client, tool, arguments.replace("VALUE", number))


@pytest.mark.parametrize(("tool", "arguments"), JSON_ARGUMENTS, ids=ARGUMENT_NAMES)
async def test_an_integer_beyond_64_bits_is_refused(client: RawClient, tool: str, arguments: str) -> None:
    for number in (10**19, -(10**19), 2**63, 10**300):
        assert "integer beyond 64 bits" in await refused(client, tool, arguments.replace("VALUE", str(number)))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1, 2**53 + 1, 10**18, 0])
async def test_an_integer_of_64_bits_is_kept_exactly(client: RawClient, number: int) -> None:
    assert (await stored(client, content=f"a number {number}", metadata={"n": number}))["metadata"] == {"n": number}
    schema = {"properties": {"n": {"maximum": number}}}
    assert (await registered(client, request_schema=schema))["request_schema"] == schema


@pytest.mark.parametrize("number", ["1e308", "-1.7976931348623157e308", "5e-324", "0.1", "-0.0", "1.0", "1e-7", "2e19"])
async def test_a_float_is_kept_exactly(client: RawClient, number: str) -> None:
    session = uuid4().hex
    raw = f'{{"content":"float {number}","session_id":"{session}","metadata":{{"n":{number}}}}}'
    assert (await client.call("store_memory", raw)).data["created"]
    for question in ("", '"query":"float",'):
        wanted = f'{{{question}"session_id":"{session}","metadata":{{"n":{number}}}}}'
        (memory,) = (await client.call("query_memory", wanted)).data["memories"]
        assert memory["metadata"]["n"] == float(number)
        assert math.copysign(1, memory["metadata"]["n"]) == (-1 if number.startswith("-1") else 1)
    schema = {"properties": {"n": {"maximum": "VALUE"}}}
    tool = json.dumps(tool_arguments(request_schema=schema)).replace('"VALUE"', number)
    assert (await client.call("register_tool", tool)).data["outcome"] == "created"
    found = await client.call("discover_tools", {"query": json.loads(tool)["tool_id"], "detail": "full"})
    assert found.data["tools"][0]["request_schema"] == {"properties": {"n": {"maximum": float(number)}}}


async def test_the_last_of_duplicate_keys_counts(client: RawClient) -> None:
    session = uuid4().hex
    raw = f'{{"content":"one","content":"two {session}","session_id":"{session}","metadata":{{"a":1,"a":2}}}}'
    assert (await client.call("store_memory", raw)).data["created"]
    (memory,) = (await client.call("query_memory", {"session_id": session})).data["memories"]
    assert (memory["content"], memory["metadata"]) == (f"two {session}", {"a": 2})


async def test_metadata_too_large_is_refused_with_the_limit(client: RawClient) -> None:
    assert "16,384" in await refused(client, "store_memory", {"content": "x", "metadata": {"a": "x" * 16_384}})
    assert "16,384" in await refused(client, "query_memory", {"metadata": {"a": ["x"] * 10_000}})


@pytest.mark.parametrize(
    ("tool", "arguments", "limit"),
    [
        ("store_memory", {"content": "x", "tags": [f"t{n}" for n in range(65)]}, "64"),
        ("store_memory", {"content": "x", "tags": [f"t{n}" for n in range(10_000)]}, "64"),
        ("store_memory", {"content": "x", "tags": ["x" * 1_000]}, "128"),
        ("query_memory", {"tags": [f"t{n}" for n in range(10_000)]}, "64"),
        ("query_memory", {"query": "x", "tags": ["x" * 1_000]}, "128"),
        ("store_memory", {"content": "x", "session_id": "x" * 256}, "255"),
        ("query_memory", {"session_id": "x" * 256}, "255"),
        ("query_memory", {"agent_id": "x" * 256}, "255"),
        ("register_tool", tool_arguments(required_capabilities=[f"c{n}" for n in range(10_000)]), "64"),
        ("register_tool", tool_arguments(required_capabilities=["x" * 129]), "128"),
        ("discover_tools", {"required_capabilities": ["x" * 129]}, "128"),
        ("discover_tools", {"agent_capabilities": [f"c{n}" for n in range(10_000)]}, "64"),
        ("discover_tools", {"queries": ["weather"] * 9}, "8"),
        ("discover_tools", {"queries": []}, "1 to 8"),
    ],
)
async def test_too_many_or_too_long_labels_are_refused_with_the_limit(
    client: RawClient, tool: str, arguments: dict[str, Any], limit: str
) -> None:
    assert limit in await refused(client, tool, arguments)


async def test_as_many_tags_as_allowed_are_kept_exactly(client: RawClient) -> None:
    tags = [f"{number}-" + "ü" * 125 for number in range(10, 74)]
    assert (await stored(client, content="tagged", tags=tags))["tags"] == tags


# Arguments: names and types.

GOOD: dict[str, dict[str, Any]] = {
    "store_memory": {"content": "never stored"},
    "query_memory": {},
    "update_memory": {"memory_id": str(uuid4())},
    "forget_memory": {},
    "register_tool": tool_arguments(),
    "unregister_tool": {"tool_id": "never.registered"},
    "discover_tools": {},
    "build_loadout": {"task": "never done"},
    "report_outcome": {"tool_id": "never-registered", "task": "never done", "worked": True},
}
TYPES: dict[str, dict[str, str]] = {
    "store_memory": {
        "content": "string",
        "kind": "string",
        "tags": "list",
        "metadata": "object",
        "importance": "number",
        "session_id": "string",
        "occurred_at": "string",
        "expires_at": "string",
        "supersedes": "string",
    },
    "query_memory": {
        "query": "string",
        "limit": "integer",
        "kind": "string",
        "tags": "list",
        "metadata": "object",
        "session_id": "string",
        "agent_id": "string",
        "since": "string",
        "until": "string",
        "as_of": "string",
        "include_superseded": "boolean",
        "half_life_days": "number",
        "min_score": "number",
        "max_tokens": "integer",
        "cursor": "string",
        "memory_ids": "list",
        "offset": "integer",
    },
    "update_memory": {
        "memory_id": "string",
        "content": "string",
        "kind": "string",
        "tags": "list",
        "metadata": "object",
        "importance": "number",
        "session_id": "string",
        "occurred_at": "string",
        "expires_at": "string",
        "replace": "boolean",
        "clear": "list",
        "if_version": "integer",
    },
    "forget_memory": {
        "memory_ids": "list",
        "filter": "object",
        "dry_run": "boolean",
        "expect": "integer",
        "erase": "boolean",
    },
    "register_tool": {
        "tool_id": "string",
        "name": "string",
        "description": "string",
        "endpoint_url": "string",
        "method": "string",
        "request_schema": "object",
        "response_schema": "object",
        "required_capabilities": "list",
        "auth": "string",
    },
    "unregister_tool": {"tool_id": "string"},
    "discover_tools": {
        "query": "string",
        "queries": "list",
        "required_capabilities": "list",
        "agent_capabilities": "list",
        "limit": "integer",
        "detail": "string",
    },
    "build_loadout": {
        "task": "string",
        "name": "string",
        "needs": "list",
        "memory_tokens": "integer",
        "tool_tokens": "integer",
    },
    "report_outcome": {
        "tool_id": "string",
        "task": "string",
        "worked": "boolean",
        "why": "string",
        "milliseconds": "integer",
    },
}
WRONG: dict[str, list[Any]] = {
    "string": [5.5, True, ["a"], {"a": 1}],
    "integer": ["five", 5.5, True, [5], {"a": 5}],
    "number": ["half", True, [0.5], {"a": 0.5}],
    "list": ["a, b", 5, {"a": 1}, [5.5], [None], [["a"]]],
    "boolean": ["perhaps", 5, ["true"], {"a": True}],
    "object": ['{"a": 1', 5, True, [], [["a", 1]]],
}
ARGUMENTS = [(tool, name, kind) for tool, names in TYPES.items() for name, kind in names.items()]
REQUIRED = [
    ("store_memory", "content"),
    ("update_memory", "memory_id"),
    ("build_loadout", "task"),
    *(("register_tool", name) for name in ("tool_id", "name", "description", "endpoint_url")),
    ("unregister_tool", "tool_id"),
    *(("report_outcome", name) for name in ("tool_id", "task", "worked")),
]
NOTHING_GIVEN = {
    "update_memory": "Nothing to change",
    "forget_memory": "Give either memory_ids or a filter",
    "report_outcome": "no such tool",
}
OPTIONAL = [(tool, name) for tool, names in TYPES.items() for name in names if (tool, name) not in REQUIRED]


async def test_the_tables_of_this_module_name_every_argument_of_every_tool(client: RawClient) -> None:
    listed = (await client.ask("tools/list", {})).message["result"]["tools"]
    assert {tool["name"]: set(tool["inputSchema"]["properties"]) for tool in listed} == {
        tool: set(names) for tool, names in TYPES.items()
    }
    assert {tool["name"]: set(tool["inputSchema"].get("required", ())) for tool in listed} == {
        tool: {name for other, name in REQUIRED if other == tool} for tool in TYPES
    }


@pytest.mark.parametrize(("tool", "name", "kind"), ARGUMENTS)
async def test_an_argument_of_the_wrong_type_is_refused_by_name(
    client: RawClient, tool: str, name: str, kind: str
) -> None:
    for value in WRONG[kind]:
        reason = await refused(client, tool, {**GOOD[tool], name: value})
        assert f"{name} must be" in reason, value


@pytest.mark.parametrize(("tool", "name"), REQUIRED)
async def test_a_missing_argument_is_named(client: RawClient, tool: str, name: str) -> None:
    without = {other: value for other, value in GOOD[tool].items() if other != name}
    assert f"{name} is required" in await refused(client, tool, without)
    assert f"{name} must be " in await refused(client, tool, {**without, name: None})


@pytest.mark.parametrize(("tool", "name"), OPTIONAL)
async def test_null_for_an_optional_argument_counts_as_not_given(client: RawClient, tool: str, name: str) -> None:
    good = GOOD | {"store_memory": {"content": f"null for {name}"}, "register_tool": tool_arguments()}
    arguments = {**good[tool], name: None}
    if tool in NOTHING_GIVEN:
        assert NOTHING_GIVEN[tool] in await refused(client, tool, arguments)
    else:
        assert (await client.call(tool, arguments)).data


@pytest.mark.parametrize(
    ("tool", "strange", "meant"),
    [
        ("store_memory", "contents", "content"),
        ("store_memory", "session", "session_id"),
        ("store_memory", "Tags", "tags"),
        ("store_memory", "namespace", None),
        ("query_memory", "top_k", None),
        ("query_memory", "queries", "query"),
        ("query_memory", "namespace", None),
        ("query_memory", "memory_id", None),
        ("register_tool", "endpoint", "endpoint_url"),
        ("register_tool", "requestSchema", "request_schema"),
        ("discover_tools", "capabilities", "agent_capabilities"),
        ("discover_tools", "💥'\"}", None),
        ("build_loadout", "namespaces", None),
    ],
)
async def test_an_unknown_argument_is_refused_by_name(
    client: RawClient, tool: str, strange: str, meant: str | None
) -> None:
    reason = await refused(client, tool, {**GOOD[tool], strange: "x"})
    assert f"Unknown argument '{json.dumps(strange)[1:-1]}'" in reason
    assert all(name in reason for name in TYPES[tool])
    if meant is not None:
        assert "Did you mean '" in reason


async def test_thousands_of_unknown_arguments_get_a_short_answer(client: RawClient) -> None:
    reason = await refused(client, "query_memory", {f"x{number}": "x" * 100 for number in range(5_000)})
    assert "4,996 more are unknown" in reason
    assert len(reason) < 1_000


async def test_one_error_names_everything_that_is_wrong(client: RawClient) -> None:
    reason = await refused(client, "store_memory", {"tags": "a, b", "importance": 2, "titel": 1})
    assert all(part in reason for part in ("content is required", "tags must be", "importance must be", "'titel'"))


@pytest.mark.parametrize("arguments", ["[]", '["content"]', '"content"', "5", "true"])
async def test_arguments_that_are_not_an_object_are_a_protocol_error(client: RawClient, arguments: str) -> None:
    answer = await client.call("query_memory", arguments)
    assert answer.code == -32602
    assert "arguments" in answer.refusal


async def test_missing_arguments_count_as_an_empty_object(client: RawClient) -> None:
    assert (await client.call("query_memory", "null")).data["total"] > 0


@pytest.mark.parametrize("name", ["remember", "Store_memory", "store_memory ", "a\x00b", "x" * 10_000])
async def test_an_unknown_tool_is_a_protocol_error_that_names_the_tools(client: RawClient, name: str) -> None:
    answer = await client.ask("tools/call", {"name": name, "arguments": {}})
    assert answer.code == -32602
    assert all(tool in answer.refusal for tool in TYPES)


# Ranges.


@pytest.mark.parametrize(
    ("tool", "arguments", "bounds"),
    [
        *(("query_memory", {"limit": value}, "from 1 to 100") for value in (0, -1, 101, 10**30)),
        *(("discover_tools", {"limit": value}, "from 1 to 50") for value in (0, -1, 51, 10**30)),
        *(("store_memory", {"content": "x", "importance": value}, "from 0 to 1") for value in (-0.1, 1.1, 10**30)),
        *(("query_memory", {"query": "x", "min_score": value}, "from 0 to 1") for value in (-0.1, 1.1, 10**30)),
        *(("query_memory", {"max_tokens": value}, "from 1 to 10,000") for value in (0, -1, 10_001, 10**30)),
        ("store_memory", {"content": "x", "kind": "epsodic"}, '"episodic"'),
        ("query_memory", {"kind": "event"}, '"episodic"'),
        ("discover_tools", {"detail": "all"}, '"summary"'),
        *(("build_loadout", {"task": "x", "tool_tokens": value}, "from 0 to 10,000") for value in (-1, 10_001, 10**30)),
        ("build_loadout", {"task": "x", "needs": ["x"] * 9}, "1 to 8"),
        ("build_loadout", {"task": "x", "name": "../x"}, "without a path"),
        ("build_loadout", {"task": "x", "name": "never-written"}, "No loadout"),
        ("query_memory", {"min_score": 0.5}, "query"),
        ("discover_tools", {"query": "x", "queries": ["x"]}, "not both"),
    ],
)
async def test_a_value_out_of_range_is_refused_with_the_range(
    client: RawClient, tool: str, arguments: dict[str, Any], bounds: str
) -> None:
    assert bounds in await refused(client, tool, arguments)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("store_memory", '{"content":"x","importance":VALUE}'),
        ("query_memory", '{"query":"x","min_score":VALUE}'),
        ("query_memory", '{"limit":VALUE}'),
        ("query_memory", '{"max_tokens":VALUE}'),
        ("discover_tools", '{"limit":VALUE}'),
    ],
)
async def test_an_invalid_number_is_refused(client: RawClient, tool: str, arguments: str) -> None:
    for number in ("1e400", "-1e400", "NaN", "Infinity", "1" * 5_000):
        reason = await refused(client, tool, arguments.replace("VALUE", number))
        assert "number" in reason or "integer" in reason


@pytest.mark.parametrize("limit", ["5.0", "5", "1e0"])
async def test_a_float_without_a_fraction_counts_as_an_integer(client: RawClient, limit: str) -> None:
    assert (await client.call("query_memory", f'{{"limit":{limit}}}')).data["memories"]
    assert (await client.call("discover_tools", f'{{"limit":{limit}}}')).data["tools"] is not None


@pytest.mark.parametrize("importance", [0, 1, 0.1, 1e-300])
async def test_importance_is_kept_exactly(client: RawClient, importance: float) -> None:
    memory = await stored(client, content=f"importance {importance}", importance=importance)
    assert memory["importance"] == importance


# Cursors and ids.


@pytest.fixture
async def cursor(client: RawClient) -> str:
    """The cursor after a first page of two memories."""
    for number in range(3):
        await client.call("store_memory", {"content": f"page {number}", "session_id": "pages"})
    page = (await client.call("query_memory", {"session_id": "pages", "limit": 2})).data
    assert [memory["content"] for memory in page["memories"]] == ["page 2", "page 1"]
    return str(page["next_cursor"])


async def test_a_cursor_continues_after_the_last_memory_of_the_page(client: RawClient, cursor: str) -> None:
    page = (await client.call("query_memory", {"session_id": "pages", "limit": 2, "cursor": cursor})).data
    assert [memory["content"] for memory in page["memories"]] == ["page 0"]
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": "other"},
        {"session_id": None},
        {"tags": ["a"]},
        {"metadata": {"a": 1}},
        {"query": "page"},
        {"kind": "semantic"},
        {"agent_id": "default"},
        {"since": "2026-01-01T00:00:00Z"},
    ],
    ids=json.dumps,
)
async def test_a_cursor_of_another_query_is_refused(client: RawClient, cursor: str, changes: dict[str, Any]) -> None:
    asked = {"session_id": "pages", "limit": 2, "cursor": cursor, **changes}
    assert "cursor does not belong to this question" in await refused(client, "query_memory", asked)


def forged(cursor: str) -> list[str]:
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    bodies = [b'["2026-01-01T00:00:00+00:00",1]', b'["now",1]', b"[]", b"[1]", b"{}", b"null", b"[" * 50_000, b"\xff"]
    tampered = [raw[:8] + body for body in bodies] + [raw[:7] + bytes([raw[7] ^ 1]) + raw[8:], raw[:8], b""]
    encoded = [base64.urlsafe_b64encode(each).decode() for each in tampered]
    return [
        *encoded,
        cursor[:-1],
        cursor[1:],
        cursor + "A",
        cursor * 2,
        cursor.swapcase(),
        " ",
        "\u00e9",
        "AAAA=",
        "%",
    ]


async def test_a_cursor_that_was_changed_is_refused(client: RawClient, cursor: str) -> None:
    for changed in filter(None, forged(cursor)):  # an empty one counts as not given
        asked = {"session_id": "pages", "limit": 2, "cursor": changed}
        assert "cursor does not belong to this question" in await refused(client, "query_memory", asked), changed


@pytest.mark.parametrize("where", [{}, {"query": "page"}], ids=["listing", "search"])
async def test_a_cursor_of_a_listing_fits_neither_another_listing_nor_a_search(
    client: RawClient, cursor: str, where: Any
) -> None:
    assert "cursor" in await refused(client, "query_memory", {**where, "cursor": cursor})


@pytest.mark.parametrize(
    "given",
    [
        " ",
        "abc",
        "1",
        "{%s}",
        "urn:uuid:%s",
        "%s ",
        "%s0",
        "00000000000000000000000000000000",
        "\u0660" * 36,
        "' OR 1=1",
    ],
)
async def test_an_invalid_memory_id_is_refused(client: RawClient, given: str) -> None:
    wanted = given.replace("%s", str(uuid4()))
    reason = await refused(client, "store_memory", {"content": "x", "supersedes": wanted})
    assert "supersedes must be a memory_id" in reason


async def test_an_unknown_memory_id_is_refused_and_nothing_is_stored(client: RawClient) -> None:
    unknown = str(uuid4())
    reason = await refused(client, "store_memory", {"content": "replaces nothing", "supersedes": unknown})
    assert unknown in reason or "supersedes" in reason


async def test_a_memory_id_in_capitals_is_the_same(client: RawClient) -> None:
    old = await stored(client, content="the old address")
    new = await stored(client, content="the new address", supersedes=old["memory_id"].upper())
    listed = (await client.call("query_memory", {"session_id": old["session_id"]})).data
    assert (listed["memories"], new["content"]) == ([], "the new address")


# Times.

TIMES = [
    ("store_memory", "occurred_at"),
    ("store_memory", "expires_at"),
    ("query_memory", "since"),
    ("query_memory", "until"),
    ("query_memory", "as_of"),
    ("update_memory", "occurred_at"),
    ("update_memory", "expires_at"),
]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"])
@pytest.mark.parametrize(("tool", "name"), TIMES)
async def test_a_time_beyond_the_calendar_is_refused(client: RawClient, tool: str, name: str, moment: str) -> None:
    assert "years 1 to 9999" in await refused(client, tool, {**GOOD[tool], name: moment})


NO_TIMES = [
    "yesterday",
    "infinity",
    "2026-02-30T00:00:00Z",
    "2026-05-01T25:00:00Z",
    "2026-05-01T12:00:00+25:00",
    "10000-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "-0044-03-15T00:00:00Z",
    "2026-W18-5T12:00:00Z",
    "20260501T120000Z",
    "1777636800",
    "\u0662\u0660\u0662\u0666-05-01T12:00:00Z",
    "2026-05-01T12:00:00 Europe/Berlin",
    "2026-05-01T12:00:00Z; DROP TABLE agent_memories",
    "2026-05-01T12:00:00Z\n",
]


@pytest.mark.parametrize(
    ("tool", "name", "moment"),
    [(*TIMES[0], moment) for moment in NO_TIMES] + [(*where, moment) for where in TIMES[1:] for moment in NO_TIMES[:3]],
)
async def test_an_invalid_time_is_refused(client: RawClient, tool: str, name: str, moment: str) -> None:
    assert f"{name} must be a time with a zone" in await refused(client, tool, {**GOOD[tool], name: moment})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999+14:00", "9999-12-31T09:59:59.999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00-14:00", "0001-01-01T14:00:00Z"),
        ("2026-05-01t12:00:00z", "2026-05-01T12:00:00Z"),
        ("2026-05-01T12:00:00.123456789+05:30", "2026-05-01T06:30:00.123456Z"),
        ("2026-05-01 12:00-00:00", "2026-05-01T12:00:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ],
)
async def test_a_time_of_any_year_is_kept_exactly_and_filtered_by(client: RawClient, given: str, kept: str) -> None:
    memory = await stored(client, content=f"at {given}", occurred_at=given, expires_at="9999-12-31T23:59:59.999999Z")
    assert memory["occurred_at"] == kept
    for question in ({}, {"query": "at"}):
        asked = {**question, "session_id": memory["session_id"], "since": kept, "until": kept}
        (found,) = (await client.call("query_memory", asked)).data["memories"]
        assert found["memory_id"] == memory["memory_id"]
