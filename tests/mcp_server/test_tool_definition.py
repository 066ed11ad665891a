import json
from datetime import UTC, datetime
from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.mcp_server.server import INSTRUCTIONS, TOOLS

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
BY_NAME = {tool.name: tool for tool in TOOLS}
STORE, QUERY, REGISTER, DISCOVER = (
    BY_NAME[name] for name in ("store_memory", "query_memory", "register_tool", "discover_tools")
)
STRINGS = 'strings such as ["a", "b"]'


def refusal(tool: str, arguments: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        BY_NAME[tool].parse(arguments)
    return str(caught.value)


def test_the_tool_descriptions_for_a_model_stay_within_7500_bytes() -> None:
    visible = [{"name": t.name, "description": t.description, "inputSchema": t.input_schema} for t in TOOLS]
    assert len(json.dumps(visible, separators=(",", ":"), ensure_ascii=False).encode()) <= 7_500


def test_the_instructions_are_short() -> None:
    assert len(INSTRUCTIONS.encode()) <= 1_500


@pytest.mark.parametrize(
    ("name", "required", "defaults"),
    [
        ("store_memory", ["content"], {"kind": "episodic", "importance": 0.5}),
        ("query_memory", [], {"limit": 10}),
        ("update_memory", ["memory_id"], {}),
        ("forget_memory", [], {}),
        ("register_tool", ["tool_id", "name", "description", "endpoint_url"], {}),
        ("discover_tools", [], {"limit": 5, "detail": "summary"}),
        ("build_loadout", ["task"], {}),
        ("report_outcome", ["tool_id", "task", "worked"], {}),
    ],
)
def test_the_listed_schema_names_required_arguments_and_defaults(
    name: str, required: list[str], defaults: dict[str, Any]
) -> None:
    schema = BY_NAME[name].input_schema
    assert schema.get("required", []) == required
    assert {key: field["default"] for key, field in schema["properties"].items() if "default" in field} == defaults


def test_the_parameters_match_the_contract() -> None:
    assert {tool.name: " ".join(tool.input_schema["properties"]) for tool in TOOLS} == {
        "store_memory": ("content kind tags metadata importance session_id occurred_at expires_at supersedes"),
        "query_memory": (
            "query limit kind tags metadata session_id agent_id since until as_of include_superseded half_life_days "
            "min_score max_tokens cursor memory_ids offset"
        ),
        "update_memory": (
            "memory_id content kind tags metadata importance session_id occurred_at expires_at replace clear if_version"
        ),
        "forget_memory": "memory_ids filter dry_run expect erase",
        "register_tool": (
            "tool_id name description endpoint_url method request_schema response_schema required_capabilities auth"
        ),
        "unregister_tool": "tool_id",
        "discover_tools": "query queries required_capabilities agent_capabilities limit detail",
        "build_loadout": "task name needs memory_tokens tool_tokens",
        "report_outcome": "tool_id task worked why milliseconds",
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_listed_schema_has_no_clutter(tool: Any) -> None:
    text = json.dumps(tool.input_schema)
    assert [word for word in ("anyOf", '"title"', "$defs", '"null"', '"ge"', '"le"') if word in text] == []


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_null_for_an_optional_parameter_counts_as_not_given(tool: Any) -> None:
    values = {"memory_id": ID, "worked": True}
    required = {name: values.get(name, "x") for name in tool.input_schema.get("required", [])}
    optional = dict.fromkeys(tool.input_schema["properties"].keys() - required.keys())
    assert tool.parse(required | optional) == tool.parse(required)


@pytest.mark.parametrize("text", ["null", "5", "true", '{"a": 1}', "[1]", "  ", "NaN"])
def test_a_string_is_never_parsed_or_trimmed(text: str) -> None:
    assert STORE.parse({"content": text}).content == text
    assert QUERY.parse({"query": text}).query == text


def test_an_integer_may_be_written_with_a_fraction_of_zero() -> None:
    assert QUERY.parse({"limit": 5.0}).limit == 5


def test_a_time_keeps_its_zone_and_may_have_none() -> None:
    assert QUERY.parse({"since": "2026-05-01T14:00:00+02:00"}).since == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert QUERY.parse({"since": "2026-05-01T12:00:00.123456789z"}).since.microsecond == 123456
    assert QUERY.parse({"since": "2026-05-01"}).since.tzinfo is None


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("store_memory", {}, "content is required: a string."),
        (
            "store_memory",
            {"contents": "x", "content": "x"},
            (
                "Unknown argument 'contents'. Did you mean 'content'? Arguments: content, kind, tags, metadata, "
                "importance, session_id, occurred_at, expires_at, supersedes."
            ),
        ),
        ("store_memory", {"content": None}, "content must be a string; got null."),
        ("store_memory", {"content": 5}, "content must be a string; got 5."),
        (
            "store_memory",
            {"content": "x", "kind": "epsodic"},
            'kind must be one of "episodic", "semantic", "procedural", "document"; got \'epsodic\'.',
        ),
        (
            "store_memory",
            {"content": "x", "tags": "a"},
            'tags must be a list of strings such as ["a", "b"]; got \'a\'.',
        ),
        (
            "store_memory",
            {"content": "x", "tags": ["a", 5]},
            f"tags must be a list of {STRINGS}; entry 1 is 5.",
        ),
        ("store_memory", {"content": "x", "metadata": "{}"}, "metadata must be an object; got '{}'."),
        ("store_memory", {"content": "x", "importance": True}, "importance must be a number from 0 to 1; got true."),
        (
            "store_memory",
            {"content": "x", "importance": float("nan")},
            "importance must be a number from 0 to 1; got NaN.",
        ),
        (
            "store_memory",
            {"content": "x", "occurred_at": "yesterday"},
            "occurred_at must be a time with a zone such as 2026-05-01T12:00:00Z; got 'yesterday'.",
        ),
        (
            "store_memory",
            {"content": "x", "supersedes": "7"},
            "supersedes must be a memory_id, as a store or a query returned it; got '7'.",
        ),
        ("query_memory", {"limit": 101}, "limit must be an integer from 1 to 100; got 101."),
        ("query_memory", {"limit": "5"}, "limit must be an integer from 1 to 100; got '5'."),
        ("query_memory", {"limit": 5.5}, "limit must be an integer from 1 to 100; got 5.5."),
        (
            "query_memory",
            {"max_tokens": 10**4000},
            "max_tokens must be an integer from 1 to 10,000; got a number of many digits.",
        ),
        (
            "discover_tools",
            {"queries": ["a"] * 9},
            f"queries must be a list of 1 to 8 {STRINGS}; got a list of 9.",
        ),
        ("discover_tools", {"limit": 51}, "limit must be an integer from 1 to 50; got 51."),
        ("build_loadout", {"name": "x"}, "task is required: a string."),
        (
            "build_loadout",
            {"task": "x", "needs": []},
            f"needs must be a list of 1 to 8 {STRINGS}; got a list of 0.",
        ),
        (
            "build_loadout",
            {"task": "x", "tool_tokens": -1},
            "tool_tokens must be an integer from 0 to 10,000; got -1.",
        ),
        (
            "build_loadout",
            {"task": "x", "namespace": "other"},
            (
                "Unknown argument 'namespace'. Did you mean 'name'? Arguments: task, name, needs, "
                "memory_tokens, tool_tokens."
            ),
        ),
    ],
)
def test_an_argument_error_names_the_expected_and_the_received_value(
    tool: str, arguments: dict[str, Any], message: str
) -> None:
    assert refusal(tool, arguments) == message


def test_one_message_names_all_problems() -> None:
    message = refusal("query_memory", {"limit": 0, "kind": "x", "cursor": 1, "topk": 3})
    assert [name for name in ("limit must", "kind must", "cursor must", "'topk'") if name not in message] == []


def test_an_error_never_repeats_a_long_value() -> None:
    secret = "password-" * 10_000
    message = refusal(
        "query_memory", {"limit": secret, secret: 1, "tags": [secret, 1]} | {f"x{i}": 1 for i in range(999)}
    )
    assert len(message) < 1_000
    assert "a string of 90,000 characters" in message
    assert "996 more are unknown" in message


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("store_memory", {"content": "x"}, "tags"),
        ("query_memory", {}, "tags"),
        ("register_tool", dict.fromkeys(REGISTER.input_schema["required"], "x"), "required_capabilities"),
        ("discover_tools", {}, "queries"),
        ("discover_tools", {}, "required_capabilities"),
        ("discover_tools", {}, "agent_capabilities"),
        ("build_loadout", {"task": "x"}, "needs"),
    ],
)
def test_only_the_first_of_a_hundred_thousand_wrong_entries_is_named(
    tool: str, arguments: dict[str, Any], field: str
) -> None:
    message = refusal(tool, arguments | {field: ["a", *range(100_000)]})
    assert message.startswith(f"{field} must be a list of ")
    assert message.endswith(f"{STRINGS}; entry 1 is 0.")
    assert len(message) < 100


def test_an_unknown_argument_is_refused_even_if_it_is_null() -> None:
    assert refusal("query_memory", {"querry": None}).startswith("Unknown argument 'querry'. Did you mean 'query'?")


@pytest.mark.parametrize(
    "time", ["2026-13-01T00:00:00Z", "2026-05-01T25:00:00Z", "2026-W18-5", "20260501", "2026-05-01T12:00:00+99:00", ""]
)
def test_a_time_that_is_not_rfc_3339_is_refused(time: str) -> None:
    assert refusal("query_memory", {"until": time}).startswith("until must be a time with a zone")
