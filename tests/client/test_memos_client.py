"""The client for programs, against real servers over stdio and HTTP."""

import inspect
import sys
import typing
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

from memos_mcp.client import CallRefused, Launch, MemosClient, ServerUnavailable, memos_client, tool_results
from memos_mcp.domain import memory, memory_changes
from memos_mcp.mcp_server import call_tool as call_tools
from memos_mcp.mcp_server import (
    loadout_tool,
    memory_change_tools,
    memory_results,
    memory_tools,
    outcome_tool,
    toolbox_tools,
)
from memos_mcp.mcp_server.tool_definition import StrictArguments
from tests.acceptance.servers import Server
from tests.orchestrator.services import Memory, free_port, guarded, serving, within
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["stdio", "http"])
async def memos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, home_template: Path
) -> AsyncIterator[MemosClient]:
    """A client of a server of its own, which answers by meaning."""
    home = copy_home(home_template, tmp_path_factory.mktemp("client") / "home")
    settings = {"MEMOS_HOME": str(home), "MEMOS_INDEX_WAIT_SECONDS": "30"}
    server = Server(home, ("serve", "--port", "0") if request.param == "http" else (), settings)
    try:
        if request.param == "http":
            token = server.token_header["authorization"].removeprefix("Bearer ")
            client = MemosClient(f"{server.url}/mcp", token=token)
        else:
            client = MemosClient(Launch(env=settings))
        async with client:
            async with within(60):
                while (await client.query_memory("anything")).degraded is not None:
                    pass
            yield client
    finally:
        server.stop()


async def test_a_memory_is_stored_found_corrected_and_forgotten(memos: MemosClient) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    stored = await memos.store_memory(
        "Mara wants short answers.", kind="semantic", tags=["people"], metadata={"from": "chat"}, occurred_at=yesterday
    )
    assert (stored.created, stored.indexed, stored.merged) == (True, True, False)
    assert (await memos.store_memory("Mara wants short answers.", tags=["style"])).merged
    found = await memos.query_memory("How should I write to Mara?", kind="semantic", since=yesterday, limit=1)
    assert (found.memories[0].memory_id, found.confident, found.next_cursor) == (stored.memory_id, True, None)
    assert (found.memories[0].tags, found.memories[0].metadata) == (["people", "style"], {"from": "chat"})
    assert found.memories[0].occurred_at == yesterday
    corrected = await memos.update_memory(stored.memory_id, content="Mara wants long answers.", if_version=2)
    assert corrected.supersedes == stored.memory_id
    chain = await memos.read_memories([corrected.memory_id], include_superseded=True)
    assert [earlier.memory_id for earlier in chain.memories[0].earlier] == [stored.memory_id]
    counted = await memos.forget_memory(filter={"tags": ["people"]}, dry_run=True, erase=True)
    assert (counted.count, counted.done) == (2, False)
    forgotten = await memos.forget_memory(filter={"tags": ["people"]}, expect=counted.count, erase=True)
    assert (set(forgotten.memory_ids), forgotten.done) == ({stored.memory_id, corrected.memory_id}, True)
    assert (await memos.query_memory(tags=["people"])).total == 0


async def test_a_long_memory_is_read_to_its_end(memos: MemosClient) -> None:
    text = "".join(f"Line {number} of the log of the lighthouse.\n" for number in range(100))
    stored = await memos.store_memory(text, kind="document")
    read, offset, parts = "", 0, 0
    while offset < len(text):
        (part,) = (await memos.read_memories([stored.memory_id], offset=offset, max_tokens=200)).memories
        read += part.content
        offset = part.excerpt.end if part.excerpt else len(text)
        parts += 1
    assert read == text
    assert parts > 2


async def test_a_tool_is_registered_discovered_reported_and_removed(memos: MemosClient) -> None:
    schema = {"type": "object", "properties": {"number": {"type": "string"}}}
    registered = await memos.register_tool(
        "fax.send",
        name="Fax",
        description="Send a fax to a number.",
        endpoint_url="https://fax.example/send",
        request_schema=schema,
        required_capabilities=["telephone"],
    )
    assert (registered.outcome, registered.version, registered.indexed) == ("created", 1, True)
    found = await memos.discover_tools(["send a fax", "telephone"], detail="full", agent_capabilities=["telephone"])
    assert (found.tools[0].tool_id, found.tools[0].request_schema, found.withheld) == ("fax.send", schema, 0)
    assert (await memos.discover_tools("send a fax", agent_capabilities=[])).withheld == 1
    reported = await memos.report_outcome("fax.send", "Fax the order.", worked=False, why="busy", milliseconds=5)
    assert reported.tool_id == "fax.send"
    packed = await memos.build_loadout("Fax the order.", needs=["send a fax"], memory_tokens=0)
    assert [(tool.tool_id, tool.reason) for tool in packed.tools] == [("fax.send", "need: send a fax")]
    assert packed.tokens["memories"] == {"used": 0, "budget": 0}
    assert (await memos.unregister_tool("fax.send")).outcome == "unregistered"
    assert (await memos.unregister_tool("fax.send")).outcome == "unknown"


async def test_a_refusal_is_the_text_of_the_server(memos: MemosClient) -> None:
    with pytest.raises(CallRefused, match=r"^limit must be an integer from 1 to 100; got 0\.$"):
        await memos.query_memory("anything", limit=0)
    with pytest.raises(CallRefused, match="expect"):
        await memos.forget_memory(filter={"tags": ["none"]})
    with pytest.raises(CallRefused, match="call_tool"):
        await memos.call_tool("fax.send", {"number": "1"})
    assert (await memos.query_memory("anything")).degraded is None


async def test_the_tools_of_the_server_are_listed_with_their_schemas(memos: MemosClient) -> None:
    tools = await memos.tools()
    assert {"store_memory", "query_memory", "discover_tools", "build_loadout"} <= tools.keys()
    assert tools["store_memory"].input_schema["required"] == ["content"]


async def test_a_changing_call_whose_connection_is_lost_is_not_repeated() -> None:
    lost = Launch(sys.executable, ["-c", LOSES_THE_CALL])
    async with MemosClient(lost, timeout=10) as memos:
        with pytest.raises(ServerUnavailable, match="lost the connection"):
            await memos.report_outcome("fax.send", "Fax.", worked=True)


LOSES_THE_CALL = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call":
        break
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "", "version": ""}}
    if "id" in message:
        unknown = {"error": {"code": -32601, "message": "unknown"}}
        answer = {"result": info} if message["method"] == "initialize" else unknown
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
"""A server over stdio that exits when a tool is called."""


async def test_a_server_that_is_away_is_reported_within_the_time_limit() -> None:
    async with MemosClient(f"http://127.0.0.1:{free_port()}/mcp", timeout=2) as memos, within(5):
        with pytest.raises(ServerUnavailable, match=r"^memOS.as: it cannot be reached\.$"):
            await memos.query_memory("anything")


async def test_a_client_outside_of_its_block_is_not_connected() -> None:
    memos = MemosClient(f"http://127.0.0.1:{free_port()}/mcp")
    with pytest.raises(ServerUnavailable, match="inside its `async with`"):
        await memos.query_memory("anything")


async def test_a_token_is_sent_and_never_shown() -> None:
    with serving(guarded(Memory({"query_memory": ANSWER}).app, "s3cret")) as host:
        async with MemosClient(f"http://{host}/mcp", token="s3cret") as memos:
            assert (await memos.query_memory("anything")).total == 0
            assert "s3cret" not in repr(vars(memos))
        async with MemosClient(f"http://{host}/mcp", token="wrong") as memos:
            with pytest.raises(ServerUnavailable, match=r"it does not accept the token \(HTTP 401\)"):
                await memos.query_memory("anything")


ANSWER = {"memories": [], "total": 0, "next_cursor": None, "confident": None, "degraded": None}


ARGUMENTS: dict[str, type[StrictArguments]] = {
    "store_memory": memory_tools.StoreMemory,
    "update_memory": memory_change_tools.UpdateMemory,
    "forget_memory": memory_change_tools.ForgetMemory,
    "register_tool": toolbox_tools.RegisterTool,
    "unregister_tool": toolbox_tools.UnregisterTool,
    "build_loadout": loadout_tool.BuildLoadout,
    "report_outcome": outcome_tool.ReportOutcome,
    "call_tool": call_tools.CallTool,
}


@pytest.mark.parametrize("tool", ARGUMENTS)
def test_a_method_has_every_argument_of_its_tool(tool: str) -> None:
    assert _parameters(tool) == set(ARGUMENTS[tool].model_fields)


def test_two_methods_have_the_arguments_of_query_memory() -> None:
    assert _parameters("query_memory") | _parameters("read_memories") == set(memory_tools.QueryMemory.model_fields)


def test_discover_tools_takes_one_need_or_several_as_its_query() -> None:
    assert _parameters("discover_tools") | {"queries"} == set(toolbox_tools.DiscoverTools.model_fields)


def _parameters(method: str) -> set[str]:
    return set(inspect.signature(getattr(MemosClient, method)).parameters) - {"self"}


RESULTS: list[tuple[type[BaseModel], Any]] = [
    (tool_results.SimilarEntry, memory_results.NearDuplicate),
    (tool_results.StoreMemoryResult, memory_results.StoredMemory),
    (tool_results.ExcerptSpan, memory_results.Excerpt),
    (tool_results.SupersededEntry, memory_results.EarlierVersion),
    (tool_results.MemoryEntry, memory_results.FoundMemory),
    (tool_results.QueryMemoryResult, memory_results.FoundMemories),
    (tool_results.UpdateMemoryResult, memory_change_tools.UpdatedMemory),
    (tool_results.ForgetMemoryResult, memory_change_tools.ForgottenMemories),
    (tool_results.RegisterToolResult, toolbox_tools.RegisteredTool),
    (tool_results.UnregisterToolResult, toolbox_tools.UnregisteredTool),
    (tool_results.ToolEntry, toolbox_tools.FoundTool),
    (tool_results.DiscoverToolsResult, toolbox_tools.FoundTools),
    (tool_results.PackedMemoryEntry, loadout_tool.PackedMemory),
    (tool_results.PackedToolEntry, loadout_tool.PackedTool),
    (tool_results.BuildLoadoutResult, loadout_tool.BuiltLoadout),
    (tool_results.ReportOutcomeResult, outcome_tool.ReportedOutcome),
    (tool_results.CallToolAnswer, call_tools.ToolCallResult),
]


@pytest.mark.parametrize(("model", "answer"), RESULTS)
def test_a_result_has_every_field_of_the_answer_and_needs_those_that_are_always_there(
    model: type[BaseModel], answer: Any
) -> None:
    assert set(model.model_fields) == set(get_type_hints(answer))
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert required == answer.__required_keys__


def test_all_results_are_compared() -> None:
    models = {one for one in vars(tool_results).values() if isinstance(one, type) and issubclass(one, BaseModel)}
    assert models - {BaseModel, tool_results.ToolResult} == {model for model, _ in RESULTS}


def test_the_words_of_the_client_are_those_of_the_server() -> None:
    assert set(typing.get_args(memos_client.Kind)) == set(typing.get_args(memory.MemoryKind))
    assert set(typing.get_args(memos_client.Clear)) == set(typing.get_args(memory_changes.Clearable))
