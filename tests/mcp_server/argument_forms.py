"""Arguments in the forms in which models send them, with what they mean, or the reason why they are refused."""

from typing import Any, NamedTuple

MIDNIGHT, LAST_MOMENT = "T00:00:00Z", "T23:59:59.999999Z"
ID = "a7128b03-1111-4222-8333-444455556666"


class Form(NamedTuple):
    """An argument beside the required ones. `means`: its value in the schema's form, None for not given."""

    tool: str
    name: str
    sent: Any
    means: Any = None
    refused: str | None = None


UNDERSTOOD = [
    *(Form("store_memory", "tags", sent, ["ops"]) for sent in ("ops", '["ops"]', "['ops']", ' [ "ops" ] ', ["ops"])),
    Form("store_memory", "tags", "on call", ["on call"]),
    Form("store_memory", "tags", '["a, b", "c"]', ["a, b", "c"]),
    Form("store_memory", "tags", "[]", []),
    Form("store_memory", "tags", [2024, "ops"], ["2024", "ops"]),
    *(Form("store_memory", "tags", sent) for sent in ("", "null", None)),
    *(Form("store_memory", "metadata", sent, {"a": 1}) for sent in ('{"a": 1}', "{'a': 1}", '\n{"a":1}', {"a": 1})),
    Form("store_memory", "metadata", "{'done': True, 'by': None}", {"done": True, "by": None}),
    Form("store_memory", "metadata", '{"note": "it\'s True"}', {"note": "it's True"}),
    *(Form("store_memory", "metadata", sent) for sent in ("", "null", None)),
    *(Form("store_memory", "importance", sent, 0.8) for sent in ("0.8", " 0.8", "8e-1", 0.8)),
    Form("store_memory", "importance", "1", 1),
    *(Form("store_memory", "importance", sent) for sent in ("", "null")),
    *(Form("store_memory", "kind", sent, "semantic") for sent in ("semantic", "Semantic", "SEMANTIC", " semantic ")),
    *(Form("store_memory", "kind", sent) for sent in ("", "null", None)),
    *(Form("store_memory", "session_id", sent) for sent in ("", "null", None)),
    Form("store_memory", "session_id", 42, "42"),
    Form("store_memory", "session_id", "none of these", "none of these"),
    *(Form("store_memory", "supersedes", sent) for sent in ("", "null")),
    Form("store_memory", "occurred_at", "2026-05-01", f"2026-05-01{MIDNIGHT}"),
    Form("store_memory", "occurred_at", "2026-05-01T12:00:00", "2026-05-01T12:00:00Z"),
    Form("store_memory", "occurred_at", "2026-05-01 12:00", "2026-05-01T12:00Z"),
    Form("store_memory", "occurred_at", "2026-05-01T12:00:00+0100", "2026-05-01T12:00:00+01:00"),
    Form("store_memory", "occurred_at", "2026-05-01T12:00:00 -05", "2026-05-01T12:00:00-05:00"),
    Form("store_memory", "occurred_at", "2026-05-01 12:00:00 UTC", "2026-05-01T12:00:00Z"),
    Form("store_memory", "occurred_at", "2026-05-01t12:00:00z", "2026-05-01T12:00:00Z"),
    *(Form("store_memory", "occurred_at", sent) for sent in ("", "null")),
    Form("store_memory", "expires_at", "2099-12-31", f"2099-12-31{LAST_MOMENT}"),
    Form("query_memory", "since", "2026-05-01", f"2026-05-01{MIDNIGHT}"),
    Form("query_memory", "until", "2026-05-01", f"2026-05-01{LAST_MOMENT}"),
    Form("query_memory", "until", "2026-05-01+02:00", "2026-05-01T23:59:59.999999+02:00"),
    *(Form("query_memory", "limit", sent, 5) for sent in ("5", "5.0", 5.0, 5)),
    *(Form("query_memory", "limit", sent) for sent in ("", "null")),
    *(Form("query_memory", name, "") for name in ("cursor", "agent_id", "since", "min_score", "max_tokens")),
    Form("query_memory", "cursor", "null"),
    Form("query_memory", "as_of", "2026-05-01", f"2026-05-01{MIDNIGHT}"),
    *(Form("query_memory", "include_superseded", sent, True) for sent in ("true", "True", True)),
    Form("forget_memory", "dry_run", "true", True),
    Form("forget_memory", "expect", "0", 0),
    *(Form("forget_memory", "filter", sent) for sent in ("", "null", None)),
    Form("register_tool", "request_schema", '{"type": "object"}', {"type": "object"}),
    Form("register_tool", "required_capabilities", "network", ["network"]),
    Form("register_tool", "response_schema", "null"),
    Form("discover_tools", "queries", "send a message", ["send a message"]),
    Form("discover_tools", "agent_capabilities", '["network", "shell"]', ["network", "shell"]),
    Form("discover_tools", "detail", "Full", "full"),
    Form("discover_tools", "limit", "3", 3),
    Form("build_loadout", "needs", '["a map", "a compass"]', ["a map", "a compass"]),
    Form("build_loadout", "memory_tokens", "500", 500),
    *(Form("build_loadout", "name", sent) for sent in ("", "null")),
]

REFUSED = [
    Form("store_memory", "tags", "ops, db", refused='a list of strings such as ["a", "b"]; got'),
    Form("store_memory", "tags", "ops; db", refused='a list of strings such as ["a", "b"]; got'),
    Form("store_memory", "tags", '["ops"', refused='a list of strings such as ["a", "b"]; got'),
    Form("store_memory", "tags", {"0": "ops"}, refused='a list of strings such as ["a", "b"]; got an object'),
    Form("store_memory", "tags", ["ops", True], refused="entry 1 is true"),
    Form("store_memory", "metadata", "ticket 7", refused="metadata must be an object; got 'ticket 7'"),
    Form("store_memory", "metadata", "[1]", refused="metadata must be an object"),
    Form("store_memory", "metadata", '{"a": 1, "a": 2}', refused="metadata must be an object"),
    Form("store_memory", "importance", "high", refused="a number from 0 to 1; got 'high'"),
    Form("store_memory", "importance", "80%", refused="a number from 0 to 1; got '80%'"),
    Form("store_memory", "importance", "8", refused="a number from 0 to 1; got 8"),
    Form("store_memory", "importance", True, refused="a number from 0 to 1; got true"),
    Form("store_memory", "kind", "note", refused='one of "episodic", "semantic", "procedural", "document"'),
    Form("store_memory", "occurred_at", "yesterday", refused="such as 2026-05-01T12:00:00Z; got 'yesterday'"),
    Form("store_memory", "occurred_at", 1767225600, refused="such as 2026-05-01T12:00:00Z; got 1767225600"),
    Form("store_memory", "occurred_at", "01/05/2026", refused="such as 2026-05-01T12:00:00Z"),
    Form("store_memory", "supersedes", "the last one", refused="a memory_id, as a store or a query returned it"),
    Form("store_memory", "session_id", ["a"], refused="session_id must be a string; got a list of 1"),
    Form("query_memory", "limit", "ten", refused="an integer from 1 to 100; got 'ten'"),
    Form("query_memory", "limit", "5.5", refused="an integer from 1 to 100; got 5.5"),
    Form("query_memory", "limit", "500", refused="an integer from 1 to 100; got 500"),
    Form("query_memory", "query", 7, refused="query must be a string; got 7"),
    Form("discover_tools", "queries", "one, or the other", refused='strings such as ["a", "b"]; got'),
]

REQUIRED: dict[str, dict[str, Any]] = {
    "update_memory": {"memory_id": ID},
    "forget_memory": {"memory_ids": [ID]},
    "store_memory": {"content": "The form of an argument."},
    "query_memory": {},
    "unregister_tool": {"tool_id": "mail"},
    "register_tool": {
        "tool_id": "form.tool",
        "name": "Form Tool",
        "description": "Shows the form of an argument.",
        "endpoint_url": "https://example.com/form",
    },
    "discover_tools": {},
    "build_loadout": {"task": "Find the way."},
    "report_outcome": {"tool_id": "mail", "task": "Find the way.", "worked": True},
}
