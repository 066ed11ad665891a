import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from memos_mcp.client.reconnecting_client import Launch
from memos_mcp.orchestrator.answers import Knowledge, MemoryDown
from memos_mcp.orchestrator.memory_service import MemoryService
from memos_mcp.orchestrator.payload import KnownMemory
from tests.orchestrator.services import Memory, free_port, guarded, serving, within

pytestmark = pytest.mark.anyio

NOTE = {"memory_id": "1", "content": "Mara is short.", "kind": "semantic", "tags": ["people"], "score": 0.5}
SEARCH = {"tool_id": "web.search", "name": "Web Search", "description": "Search.", "endpoint_url": "http://x/search"}
LOADOUT = {
    "name": "clerk",
    "role": "You are a clerk.",
    "memories": [{**NOTE, "reason": "pinned", "tokens": 5}],
    "tools": [{**SEARCH, "request_schema": {"type": "object"}, "reason": "covers search", "tokens": 9}],
    "uncovered": ["fax"],
}


SHORT_LIVED = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    results = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "", "version": ""}},
        "tools/list": {"tools": []},
        "tools/call": {"content": [], "structuredContent": {"memories": []}},
    }
    if "id" in message:
        known = message["method"] in results
        answer = {"result": results[message["method"]]} if known else {"error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
    if message["method"] == "tools/list":
        break
"""
"""A server over stdio that exits after one call and the tools/list with which a client checks the answer."""


@pytest.fixture
def scripted() -> Memory:
    return Memory(
        {
            "query_memory": {"memories": [NOTE], "total": 1, "degraded": None},
            "discover_tools": _discovered,
            "build_loadout": LOADOUT,
            "store_memory": {"memory_id": "m-1", "created": True},
        }
    )


@pytest.fixture
def url(scripted: Memory) -> Iterator[str]:
    with serving(scripted.app) as host:
        yield f"http://{host}/mcp"


def _discovered(arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer as the server does when the schemas of only one tool fit."""
    other = {**SEARCH, "tool_id": "todo.add"}
    if arguments.get("query") == "todo.add":
        return {"tools": [{**other, "request_schema": {"title": "todo"}}], "degraded": None}
    return {"tools": [{**SEARCH, "request_schema": {}}, other], "degraded": "by words", "note": "1 without"}


async def test_every_call_has_the_arguments_that_the_server_expects(url: str, scripted: Memory) -> None:
    async with MemoryService(url) as memory:
        found = await memory.query("Who is Mara?", limit=3, tags=["people"])
        loadout = await memory.loadout("Find X", "clerk", needs=["fax"])
        assert await memory.store("Done.", session_id="s", tags=["outcome"], metadata={"a": 1}) == "m-1"
    assert isinstance(found, Knowledge)
    assert found.memories == [KnownMemory("1", "Mara is short.", "semantic", ["people"])]
    assert isinstance(loadout, Knowledge)
    assert (loadout.role, loadout.uncovered) == ("You are a clerk.", ["fax"])
    assert loadout.memories[0].reason == "pinned"
    assert loadout.tools[0].reason == "covers search"
    assert scripted.asked == [
        ("query_memory", {"query": "Who is Mara?", "limit": 3, "tags": ["people"]}),
        ("build_loadout", {"task": "Find X", "name": "clerk", "needs": ["fax"]}),
        (
            "store_memory",
            {
                "content": "Done.",
                "kind": "episodic",
                "session_id": "s",
                "tags": ["outcome"],
                "metadata": {"a": 1},
            },
        ),
    ]


async def test_tools_have_their_schemas_even_if_an_answer_omits_them(url: str) -> None:
    async with MemoryService(url) as memory:
        found = await memory.discover(["find and list"], capabilities=["network"])
    assert isinstance(found, Knowledge)
    assert [tool.request_schema for tool in found.tools] == [{}, {"title": "todo"}]
    assert found.degraded == "by words"


@pytest.mark.parametrize("omitted", ["description", "required_capabilities"])
async def test_a_shortened_tool_with_schemas_is_requested_again(url: str, scripted: Memory, omitted: str) -> None:
    own = {"description": "Search the web.", "required_capabilities": ["network"], "request_schema": {}}
    whole: dict[str, Any] = {**SEARCH, **own}
    short = {**whole, omitted: whole[omitted][:0], "omitted": [omitted]}
    other = {**whole, "tool_id": "todo.add"}
    scripted.answers["discover_tools"] = lambda asked: (
        {"tools": [whole]} if "query" in asked else {"tools": [short, other], "note": "1 shortened, see omitted."}
    )
    async with MemoryService(url) as memory:
        found = await memory.discover(["find and list"])
    assert isinstance(found, Knowledge)
    assert [tool.tool_id for tool in found.tools] == ["web.search", "todo.add"]
    assert {tool.description for tool in found.tools} == {"Search the web."}
    assert [tool.required_capabilities for tool in found.tools] == [["network"]] * 2
    assert [asked.get("query") for _, asked in scripted.asked] == [None, "web.search"]


async def test_a_shortened_tool_is_kept_if_memory_stops_and_one_without_a_schema_is_dropped(
    url: str, scripted: Memory
) -> None:
    short = {**SEARCH, "request_schema": {}, "omitted": ["description", "required_capabilities"]}
    bare = {**SEARCH, "tool_id": "todo.add", "omitted": ["description"]}
    half = {**SEARCH, "tool_id": "fax.send", "request_schema": {}, "omitted": ["response_schema"]}

    def answer_once(_: dict[str, Any]) -> dict[str, Any]:
        scripted.answers["discover_tools"] = "The memory store cannot be reached right now."
        return {"tools": [short, bare, half], "note": "3 shortened, see omitted. 1 without their schemas."}

    scripted.answers["discover_tools"] = answer_once
    async with MemoryService(url) as memory:
        found = await memory.discover(["find, list and fax"])
    assert isinstance(found, Knowledge)
    assert [(tool.tool_id, tool.description, tool.request_schema) for tool in found.tools] == [
        ("web.search", "Search.", {})
    ]
    assert [asked.get("query") for _, asked in scripted.asked] == [None, "web.search", "todo.add", "fax.send"]


async def test_a_pack_with_omitted_schemas_is_completed_and_missing_pins_are_reported(
    url: str, scripted: Memory
) -> None:
    bare = {**SEARCH, "tool_id": "todo.add", "reason": "pinned", "omitted": ["request_schema"]}
    scripted.answers["build_loadout"] = {
        **LOADOUT,
        "tools": [bare, {**bare, "tool_id": "deleted"}],
        "missing": ["fax.send"],
    }
    async with MemoryService(url) as memory:
        found = await memory.loadout("Find X", "clerk")
    assert isinstance(found, Knowledge)
    assert [(tool.tool_id, tool.request_schema, tool.reason) for tool in found.tools] == [
        ("todo.add", {"title": "todo"}, "pinned")
    ]
    assert found.degraded == "pinned but missing: fax.send"


async def test_a_refusal_is_reported(url: str, scripted: Memory) -> None:
    scripted.answers["query_memory"] = "limit must be an integer."
    async with MemoryService(url) as memory:
        assert await memory.query("x") == MemoryDown("it refused: limit must be an integer.")


async def test_a_slow_service_is_reported(url: str, scripted: Memory) -> None:
    scripted.hangs = True
    async with MemoryService(url, timeout=0.5) as memory, within(3):
        assert await memory.query("x") == MemoryDown("it did not answer within 0.5 s")


@pytest.mark.parametrize("command", [("/no/such/program",), ("false",)])
async def test_a_service_that_cannot_be_launched_is_reported(command: tuple[str, ...]) -> None:
    async with MemoryService(Launch(command[0])) as memory, within(5):
        assert isinstance(await memory.query("x"), MemoryDown)


async def test_a_service_that_never_answers_is_reported() -> None:
    async with MemoryService(Launch(sys.executable, ["-c", "input()"]), timeout=0.5) as memory, within(3):
        assert isinstance(await memory.query("x"), MemoryDown)


async def test_a_service_that_is_down_is_reported_and_answers_once_it_is_up(scripted: Memory) -> None:
    port = free_port()
    async with MemoryService(f"http://127.0.0.1:{port}/mcp") as memory:
        assert isinstance(await memory.query("x"), MemoryDown)
        with serving(scripted.app, port):
            assert isinstance(await memory.query("x"), Knowledge)
        assert isinstance(await memory.query("x"), MemoryDown)
        with serving(scripted.app, port):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(_finds, memory)


async def test_a_lost_connection_is_replaced_within_the_call() -> None:
    async with MemoryService(Launch(sys.executable, ["-c", SHORT_LIVED])) as memory:
        for _ in range(3):
            assert isinstance(await memory.query("x"), Knowledge)


async def test_a_token_gives_access_and_is_not_shown(scripted: Memory) -> None:
    with serving(guarded(scripted.app, "s3cret")) as host:
        async with MemoryService(f"http://{host}/mcp", token="s3cret") as memory:
            assert isinstance(await memory.query("x"), Knowledge)
            assert "s3cret" not in repr(vars(memory))
        async with MemoryService(f"http://{host}/mcp") as stranger:
            assert isinstance(await stranger.query("x"), MemoryDown)


async def test_an_exception_in_the_body_is_not_wrapped(url: str) -> None:
    async def fail() -> None:
        async with MemoryService(url) as memory:
            await memory.query("x")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()


async def _finds(memory: MemoryService) -> None:
    assert isinstance(await memory.query("x"), Knowledge)


async def test_the_outcome_of_a_call_is_reported_to_a_service_that_lists_the_tool(scripted: Memory, url: str) -> None:
    scripted.lists = ["query_memory", "report_outcome"]
    scripted.answers["report_outcome"] = {"anything": 1}
    async with MemoryService(url) as memory:
        for worked in (True, False):
            assert await memory.report_outcome("t", "Greet", worked=worked, why="busy", milliseconds=5) is None
    assert scripted.asked == [
        ("report_outcome", {"tool_id": "t", "task": "Greet", "worked": worked, "why": "busy", "milliseconds": 5})
        for worked in (True, False)
    ]


async def test_nothing_is_reported_to_a_service_that_does_not_list_the_tool(scripted: Memory, url: str) -> None:
    async with MemoryService(url) as memory:
        refused = await memory.report_outcome("t", "Greet", worked=True)
    assert refused == MemoryDown("it has no report_outcome")
    assert scripted.asked == []


async def test_a_report_to_a_service_that_is_away_or_refuses_is_only_answered(scripted: Memory, url: str) -> None:
    scripted.lists = ["report_outcome"]
    scripted.answers["report_outcome"] = "No experience is kept here."
    async with MemoryService(url) as memory:
        refused = await memory.report_outcome("t", "Greet", worked=True)
    assert isinstance(refused, MemoryDown)
    assert "No experience" in refused.reason
    async with MemoryService(f"http://127.0.0.1:{free_port()}/mcp") as memory:
        assert isinstance(await memory.report_outcome("t", "Greet", worked=True), MemoryDown)
