"""Shows all tools at work with two clients and the engine that serves both, in a temporary data folder."""

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Final

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment

from memos_mcp.settings import Settings

MEMORIES: Final[tuple[dict[str, Any], ...]] = (
    {"content": "Mara reads answers on her phone and wants them short.", "kind": "semantic", "tags": ["preferences"]},
    {"content": "On Tuesday the staging database moved to the new cluster; the old one is read-only.", "tags": ["ops"]},
    {"content": "Release checklist: tag, build the wheel, publish, inform the channel.", "kind": "procedural"},
)
TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "tool_id": "web.search",
        "name": "Web Search",
        "description": "Search the internet and return titles, links and snippets.",
        "endpoint_url": "https://tools.example.com/search",
        "request_schema": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "what to search for"}},
            "required": ["query"],
        },
        "required_capabilities": ["network"],
    },
    {
        "tool_id": "todo.add",
        "name": "To-Do List",
        "description": "Put an item on the user's list of things to do.",
        "endpoint_url": "https://tools.example.com/todo",
        "request_schema": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
    },
)


async def demo(_settings: Settings) -> int:
    """Call all tools, then query from a second client; return 0 when each answer is as expected."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="memos-demo-") as home:
        server = StdioServerParameters(command=sys.executable, args=["-m", "memos_mcp"], env={"MEMOS_HOME": home})
        try:
            expected = await _run_first_client(server) and await _run_second_client(server)
        finally:
            with anyio.CancelScope(shield=True):
                stopped = await _stop_engine(server)
    print(f"\n{'all tools answered as expected' if expected else 'AN ANSWER WAS NOT THE EXPECTED ONE'}", end="")
    print(f", {time.perf_counter() - started:.1f} s in all")
    return 0 if expected and stopped else 1


async def _run_first_client(server: StdioServerParameters) -> bool:
    """Call the tools as the client that starts the engine."""
    began = time.perf_counter()
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        names = ", ".join(tool.name for tool in tools)
        print(f"connected after {time.perf_counter() - began:.1f} s. {len(tools)} tools: {names}")
        return (
            await _show_memories(client)
            and await _show_changes(client)
            and await _show_tools(client)
            and await _show_loadout(client)
            and await _show_outcome(client)
        )


async def _show_outcome(client: Client) -> bool:
    """Report that a tool worked, find it by that, and remove it."""
    task = {"task": "find the opening hours of the library"}
    await _call(client, "report_outcome", {"tool_id": "web.search", "worked": True, **task})
    found = await _call(client, "discover_tools", {"query": task["task"], "limit": 1})
    removed = await _call(client, "unregister_tool", {"tool_id": "web.search"})
    used = found["tools"][0]["signals"].get("experience")
    return (used, removed["outcome"]) == ({"tasks": 1, "worked": 1}, "unregistered")


async def _run_second_client(server: StdioServerParameters) -> bool:
    """Query the memories of the first client as another client of the same engine."""
    began = time.perf_counter()
    async with Client(server, mode="legacy") as client:
        milliseconds = (time.perf_counter() - began) * 1000
        print(f"\na second client, launched and initialized in {milliseconds:.0f} ms:")
        answer = await _call(client, "query_memory", {"query": "what is to be done for a release?", "limit": 1})
        whole = answer["degraded"] is None  # not by words only, as without the model
        return bool(whole and answer["memories"][0]["content"] == MEMORIES[2]["content"])


async def _stop_engine(server: StdioServerParameters) -> bool:
    """Stop the engine, which would keep running for the next client; return whether it has stopped."""
    if sys.platform == "win32":
        return True  # each client was a server of its own
    command = [server.command, *server.args, "stop"]
    done = await anyio.run_process(command, env=get_default_environment() | (server.env or {}), check=False)
    print(f"\nmemos-as stop: {(done.stdout or done.stderr).decode().strip()}")
    return done.returncode == 0


async def _show_memories(client: Client) -> bool:
    for memory in MEMORIES:
        await _call(client, "store_memory", memory)
    again = await _call(client, "store_memory", MEMORIES[0])
    answer = await _call(client, "query_memory", {"query": "how should I write to Mara?", "limit": 1})
    listing = await _call(client, "query_memory", {"tags": ["ops"]})
    return (
        not again["created"]
        and answer["memories"][0]["content"] == MEMORIES[0]["content"]
        and [memory["content"] for memory in listing["memories"]] == [MEMORIES[1]["content"]]
    )


async def _show_changes(client: Client) -> bool:
    stored = await _call(client, "store_memory", {"content": "The office is in Lisbon."})
    correction = {"memory_id": stored["memory_id"], "content": "The office is in Porto."}
    updated = await _call(client, "update_memory", correction)
    question = {"query": "where is the office?", "limit": 1, "include_superseded": True}
    answer = await _call(client, "query_memory", question)
    forgotten = await _call(client, "forget_memory", {"memory_ids": [updated["memory_id"]]})
    latest = answer["memories"][0]
    return (updated["supersedes"], latest["memory_id"], forgotten["earlier_versions"]) == (
        stored["memory_id"],
        updated["memory_id"],
        1,
    )


async def _show_tools(client: Client) -> bool:
    for tool in TOOLS:
        await _call(client, "register_tool", tool)
    search = await _call(client, "discover_tools", {"query": "search for something on the internet", "limit": 1})
    both = await _call(client, "discover_tools", {"queries": ["find a web page", "remember what I have to do"]})
    allowed = await _call(client, "discover_tools", {"query": "search", "agent_capabilities": []})
    return (
        search["tools"][0]["tool_id"] == "web.search"
        and {tool["tool_id"] for tool in both["tools"]} == {"web.search", "todo.add"}
        and allowed["withheld"] == 1
    )


async def _show_loadout(client: Client) -> bool:
    needs = ["publish the release", "find a web page"]
    task = "Publish the release and find its page on the internet."
    packed = await _call(client, "build_loadout", {"task": task, "needs": needs})
    return (
        packed["uncovered"] == []
        and MEMORIES[2]["content"] in {memory["content"] for memory in packed["memories"]}
        and "web.search" in {tool["tool_id"] for tool in packed["tools"]}
    )


async def _call(client: Client, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    result = await client.call_tool(name, dict(arguments))
    milliseconds = (time.perf_counter() - began) * 1000
    print(f"\n{name}({json.dumps(arguments, ensure_ascii=False)[:110]})  [{milliseconds:.0f} ms]")
    print(f"  -> {json.dumps(result.structured_content, ensure_ascii=False)[:400]}")
    if result.is_error or result.structured_content is None:
        raise SystemExit(f"{name} failed: {result.content}")
    answer: dict[str, Any] = result.structured_content
    return answer
