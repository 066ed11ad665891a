import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from memos_mcp.client.reconnecting_client import Launch
from memos_mcp.orchestrator.answers import Knowledge, MemoryDown
from memos_mcp.orchestrator.memory_service import MemoryService
from memos_mcp.orchestrator.payload import KnownTool
from tests.orchestrator.services import Memory, serving

pytestmark = pytest.mark.anyio

NOTE = {"memory_id": "1", "content": "Mara is short.", "kind": "semantic", "tags": ["people"]}
SEARCH: dict[str, Any] = {
    "tool_id": "web.search",
    "name": "Web Search",
    "description": "Search.",
    "endpoint_url": "http://x/search",
}

NO_MEMORIES: list[tuple[dict[str, Any], str]] = [
    ({}, "memories"),
    ({"memories": None}, "memories"),
    ({"memories": "none"}, "memories"),
    ({"memories": {"1": NOTE}}, "memories"),
    ({"memories": [NOTE, 5]}, "memories/1"),
    ({"memories": [{"memory_id": "1"}]}, "memories/0/content"),
    ({"memories": [{**NOTE, "content": 5}]}, "memories/0/content"),
    ({"memories": [{**NOTE, "tags": None}]}, "memories/0/tags"),
    ({"memories": [NOTE], "degraded": 5}, "degraded"),
]
NO_TOOLS: list[tuple[dict[str, Any], str]] = [
    ({}, "tools"),
    ({"tools": None}, "tools"),
    ({"tools": {"web.search": SEARCH}}, "tools"),
    ({"tools": [5]}, "tools/0"),
    ({"tools": [None], "note": "1 shortened, see omitted."}, "tools/0"),
    ({"tools": [{"omitted": ["description"]}]}, "tools/0/tool_id"),
    ({"tools": [{**SEARCH, "omitted": 5}]}, "tools/0/omitted"),
    ({"tools": [{**SEARCH, "omitted": [["request_schema"]]}]}, "tools/0/omitted/0"),
    ({"tools": [{**SEARCH, "request_schema": "{}"}]}, "tools/0/request_schema"),
    ({"tools": [{**SEARCH, "required_capabilities": "network"}]}, "tools/0/required_capabilities"),
    ({"tools": [SEARCH], "note": 5}, "note"),
    ({"tools": [SEARCH], "degraded": ["by words"]}, "degraded"),
]
NO_PACK: list[tuple[dict[str, Any], str]] = [
    ({"tools": []}, "memories"),
    ({"memories": [5], "tools": []}, "memories/0"),
    ({"memories": [], "tools": None}, "tools"),
    ({"memories": [], "tools": [5]}, "tools/0"),
    ({"memories": [], "tools": [{"omitted": ["request_schema"]}]}, "tools/0/tool_id"),
    ({"memories": [], "tools": [], "role": 5}, "role"),
    ({"memories": [], "tools": [], "uncovered": "fax"}, "uncovered"),
    ({"memories": [], "tools": [], "missing": [5]}, "missing/0"),
]

PARROT = """
import json, sys
CREATED = {"type": "object", "required": ["created"]}
results = {
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "", "version": ""}},
    "tools/list": {
        "tools": [
            {"name": "query_memory", "inputSchema": {"type": "object"}},
            {"name": "store_memory", "inputSchema": {"type": "object"}, "outputSchema": CREATED},
        ]
    },
    "tools/call": eval(sys.argv[1]),
}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        known = message["method"] in results
        answer = {"result": results[message["method"]]} if known else {"error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
"""A server over stdio that answers every call with its argument, a Python expression."""


CALLS: dict[str, Callable[[MemoryService], Awaitable[Knowledge | MemoryDown]]] = {
    "query_memory": lambda memory: memory.query("x"),
    "discover_tools": lambda memory: memory.discover(["x"]),
    "build_loadout": lambda memory: memory.loadout("x", "clerk"),
}


@pytest.mark.parametrize(
    ("tool", "answer", "path"),
    [
        *(("query_memory", *case) for case in NO_MEMORIES),
        *(("discover_tools", *case) for case in NO_TOOLS),
        *(("build_loadout", *case) for case in NO_PACK),
    ],
)
async def test_an_answer_of_another_shape_is_reported(tool: str, answer: dict[str, Any], path: str) -> None:
    scripted = Memory({tool: answer})
    with serving(scripted.app) as host:
        async with MemoryService(f"http://{host}/mcp") as memory:
            assert await CALLS[tool](memory) == MemoryDown(f"it gave an answer that cannot be read (at {path})")
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("answer", [{}, {"memory_id": None}, {"memory_id": 5}, {"memory_id": ["m-1"]}])
async def test_an_outcome_without_a_memory_id_counts_as_not_stored(answer: dict[str, Any]) -> None:
    with serving(Memory({"store_memory": answer}).app) as host:
        async with MemoryService(f"http://{host}/mcp") as memory:
            stored = await memory.store("Done.", session_id="s")
    assert stored == MemoryDown("it gave an answer that cannot be read (at memory_id)")


@pytest.mark.parametrize("again", [{}, {"tools": None}, {"tools": [5]}, {"tools": [{"name": "Web"}]}])
async def test_a_shortened_tool_is_kept_if_its_complete_form_cannot_be_read(again: dict[str, Any]) -> None:
    short = {**SEARCH, "request_schema": {}, "omitted": ["description"]}
    bare = {**SEARCH, "tool_id": "todo.add", "omitted": ["request_schema"]}
    first = {"tools": [short, bare], "degraded": None}
    scripted = Memory({"discover_tools": lambda asked: again if "query" in asked else first})
    with serving(scripted.app) as host:
        async with MemoryService(f"http://{host}/mcp") as memory:
            found = await memory.discover(["find and list"])
    assert found == Knowledge(tools=[KnownTool(**SEARCH, request_schema={})])
    assert [asked.get("query") for _, asked in scripted.asked] == [None, "web.search", "todo.add"]


async def test_unknown_fields_of_a_later_server_are_ignored() -> None:
    answers = {"query_memory": {"memories": [{**NOTE, "mood": "merry"}], "pages": [5]}}
    with serving(Memory(answers).app) as host:
        async with MemoryService(f"http://{host}/mcp") as memory:
            found = await memory.query("x")
    assert isinstance(found, Knowledge)
    assert [known.content for known in found.memories] == ["Mara is short."]


@pytest.mark.parametrize(
    ("result", "path"),
    [
        ("{'content': 5}", " (at content)"),
        ("{'content': [], 'structuredContent': ['memories']}", " (at structuredContent)"),
        ("{'content': []}", ""),
        ("{'content': [{'type': 'text', 'text': 'Nothing.'}]}", ""),
        ("{'content': [{'type': 'text', 'text': '[' * 100_000}]}", ""),
        ("{'content': [{'type': 'text', 'text': '{\"memories\": 5}'}]}", " (at memories)"),
    ],
)
async def test_a_result_of_another_server_is_reported(result: str, path: str) -> None:
    async with MemoryService(Launch(sys.executable, ["-c", PARROT, result])) as memory:
        assert await memory.query("x") == MemoryDown(f"it gave an answer that cannot be read{path}")


async def test_an_answer_that_violates_its_own_output_schema_is_reported() -> None:
    result = "{'content': [], 'structuredContent': {'memory_id': 'm-1', 'memories': []}}"
    async with MemoryService(Launch(sys.executable, ["-c", PARROT, result])) as memory:
        assert await memory.store("Done.", session_id="s") == MemoryDown("it gave an answer that cannot be read")
        assert await memory.query("x") == Knowledge(memories=[])
