"""Loadouts on real stores."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid, NotFound, StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.mcp_server.loadout_tool import BUILD_LOADOUT
from memos_mcp.services.concurrency import gather
from tests.fakes import DownIndex, HashEmbedder

pytestmark = pytest.mark.anyio

TEAM, OPS, PRIVATE = (Scope(namespace, "tester") for namespace in ("team", "ops", "private"))
SEARCH = NewTool(
    "web.search",
    "Web Search",
    "Look up something on the internet",
    "https://tools.example.com/search",
    request_schema={"type": "object", "properties": {"query": {"type": "string"}}},
    response_schema={"type": "object", "properties": {"results": {"type": "array"}}},
    required_capabilities=["network"],
)
TODO = NewTool("todo.add", "To-Do List", "Put an item on the list of things to do", "https://tools.example.com/todo")


async def build(app: App, scope: Scope = TEAM, **arguments: Any) -> Any:
    return await BUILD_LOADOUT.call(app, scope, BUILD_LOADOUT.parse(arguments))


async def remember(app: App, content: str, scope: Scope = TEAM, **values: Any) -> str:
    return str((await app.memories.store(scope, NewMemory(content, **values))).memory_id)


def write(app: App, name: str, text: str) -> None:
    app.settings.loadouts.mkdir(exist_ok=True)
    (app.settings.loadouts / f"{name}.toml").write_text(text)


def contents(packed: Any) -> list[tuple[str, str]]:
    return [(memory["content"], memory["reason"]) for memory in packed["memories"]]


def tools(packed: Any) -> list[tuple[str, str]]:
    return [(tool["tool_id"], tool["reason"]) for tool in packed["tools"]]


async def test_a_loadout_without_a_name_depends_on_the_task_alone(app: App) -> None:
    await remember(app, "The staging database moved to the new cluster.")
    await remember(app, "Kitchen plants arrive on Friday.")
    for tool in (SEARCH, TODO):
        await app.tools.register(TEAM, tool)
    packed = await build(app, task="look up the staging database on the internet")
    assert contents(packed) == [("The staging database moved to the new cluster.", "task")]
    assert tools(packed)[0] == ("web.search", "task")
    assert packed["tools"][0]["request_schema"] == SEARCH.request_schema
    assert packed["tools"][0]["response_schema"] == SEARCH.response_schema
    assert (packed["name"], packed["role"], packed["capabilities"]) == (None, None, None)
    assert (packed["uncovered"], packed["missing"], packed["degraded"]) == ([], [], None)
    assert (packed["tokens"]["memories"]["budget"], packed["tokens"]["tools"]["budget"]) == (1_500, 2_000)


async def test_each_need_gets_its_best_item_and_uncovered_needs_are_named(app: App) -> None:
    await remember(app, "Releases go out on Monday mornings.")
    await app.tools.register(TEAM, TODO)
    needs = [
        "when do releases go out",
        "put an item on the list",
        "translate Finnish poetry",
        "put an item on the list",
    ]
    packed = await build(app, task="prepare everything", needs=needs)
    assert contents(packed) == [("Releases go out on Monday mornings.", "need: when do releases go out")]
    assert tools(packed) == [("todo.add", "need: put an item on the list")]
    assert packed["uncovered"] == ["translate Finnish poetry"]


async def test_a_loadout_pins_searches_and_withholds(app: App) -> None:
    pinned = await remember(app, "Speak politely.")
    await remember(app, "Deployment conventions: tag first.")
    superseded = await remember(app, "Old habit.")
    await remember(app, "New habit.", supersedes=UUID(superseded))
    for tool in (SEARCH, TODO):
        await app.tools.register(TEAM, tool)
    write(
        app,
        "x",
        f'role = "You are x."\ncapabilities = ["shell"]\n[memories]\npinned = ["{pinned}", "{superseded}"]\n'
        'search = ["deployment conventions"]\n[tools]\npinned = ["todo.add", "absent.tool"]',
    )
    packed = await build(app, task="qwertz", name="x")
    assert contents(packed) == [
        ("Speak politely.", "pinned"),
        ("Deployment conventions: tag first.", "search: deployment conventions"),
    ]
    assert tools(packed) == [("todo.add", "pinned")]
    assert (packed["name"], packed["role"], packed["capabilities"]) == ("x", "You are x.", ["shell"])
    assert packed["missing"] == [superseded, "absent.tool"]
    assert packed["left_out"]["withheld"] == 1
    assert packed["uncovered"] == ["qwertz"]


async def test_a_pin_that_expired_is_missing(app: App) -> None:
    now = app.memories._now()
    pinned = await remember(app, "Only for a moment.", expires_at=now - timedelta(seconds=1))
    write(app, "x", f'[memories]\npinned = ["{pinned}"]')
    packed = await build(app, task="anything", name="x")
    assert (packed["memories"], packed["missing"]) == ([], [pinned])


async def test_a_loadout_opens_its_namespaces_to_the_connections_it_admits(app: App) -> None:
    await remember(app, "The runbook of staging is short.", OPS)
    await remember(app, "The diary of staging is private.", PRIVATE)
    await app.tools.register(OPS, TODO)
    write(app, "wide", 'namespaces = ["team", "ops"]\nfor = ["team"]')
    packed = await build(app, task="the runbook of staging: put an item on the list", name="wide")
    assert [content for content, _ in contents(packed)] == ["The runbook of staging is short."]
    assert [tool_id for tool_id, _ in tools(packed)] == ["todo.add"]
    with pytest.raises(NotFound):
        await build(app, PRIVATE, task="the runbook of staging", name="wide")


async def test_no_argument_reaches_another_namespace(app: App) -> None:
    secret = await remember(app, "The diary of staging is private.", PRIVATE)
    await app.tools.register(PRIVATE, TODO)
    write(app, "private", f'for = ["private"]\n[memories]\npinned = ["{secret}"]\n[tools]\npinned = ["todo.add"]')
    write(app, "sneaky", f'[memories]\npinned = ["{secret}"]\n[tools]\npinned = ["todo.add"]')
    write(app, "open", 'namespaces = ["private"]')
    for needs in (None, [secret], ["private"], ["todo.add"]):
        packed = await build(app, task="the diary of staging is private todo.add", needs=needs)
        assert (packed["memories"], packed["tools"]) == ([], [])
    packed = await build(app, task="the diary of staging is private", name="sneaky")
    assert (packed["memories"], packed["tools"], packed["missing"]) == ([], [], [secret, "todo.add"])
    for name in ("private", "open"):
        with pytest.raises(NotFound, match="No loadout"):
            await build(app, task="x", name=name)
    for arguments in ({"namespace": "private"}, {"namespaces": ["private"]}, {"name": "../private"}):
        with pytest.raises(Invalid):
            await build(app, **({"task": "x"} | arguments))


async def test_a_pack_has_no_duplicates_of_two_namespaces(app: App) -> None:
    own = await remember(app, "Releases go out on Monday.")
    await remember(app, "Releases go out on Monday.", OPS)
    await app.tools.register(TEAM, NewTool("todo.add", "Notes", "Put an item on the board", "https://own.example.com"))
    await app.tools.register(OPS, TODO)
    write(app, "wide", 'namespaces = ["ops", "team"]\nfor = ["team"]')
    packed = await build(app, task="releases go out, put an item on the list", name="wide")
    assert [memory["memory_id"] for memory in packed["memories"]] == [own]
    assert [tool["endpoint_url"] for tool in packed["tools"]] == ["https://own.example.com"]


async def test_a_long_memory_is_packed_as_a_marked_excerpt_of_its_best_passage(app: App) -> None:
    filler = " ".join(f"word{number}" for number in range(1_500))
    content = f"{filler}\n\nThe staging database moved to the new cluster.\n\n{filler}"
    await remember(app, content, kind="document")
    packed = await build(app, task="staging database cluster", memory_tokens=400)
    [memory] = packed["memories"]
    part = memory["excerpt"]
    assert "staging database moved" in memory["content"]
    assert memory["content"] == content[part["start"] : part["end"]]
    assert part["length"] == len(content)
    assert packed["uncovered"] == []
    assert "1 memories are shown in part" in packed["note"]
    tight = await build(app, task="staging database cluster", memory_tokens=50)
    assert (tight["memories"], tight["left_out"]["memories"]) == ([], 1)
    assert tight["uncovered"] == ["staging database cluster"]
    assert "1 had a match for which there was no room" in tight["note"]


async def test_a_pack_is_degraded_while_the_index_is_down(app: App, index: DownIndex) -> None:
    await remember(app, "The staging database moved.")
    index.down = True
    packed = await build(app, task="staging database", needs=["staging database", "frog poetry"])
    assert contents(packed) == [("The staging database moved.", "need: staging database")]
    assert packed["uncovered"] == ["frog poetry"]
    assert "Matched by words only" in packed["degraded"]


async def test_the_first_anticipated_failure_cancels_the_others_and_is_raised_unwrapped() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise StoreUnavailable("away")

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("yes")

    async def nested() -> None:
        await gather([wait, fail], limit=2)

    with anyio.fail_after(5), pytest.raises(StoreUnavailable, match="away"):
        await gather([wait, nested], limit=2)
    assert ended == ["yes", "yes"]


async def test_needs_that_only_words_can_cover_are_not_reported_as_uncovered(app: App, embedder: HashEmbedder) -> None:
    embedder.unread = frozenset("服务器搬到哪里天气")
    moved = await remember(app, "服务器搬到地下室。")
    packed = await build(app, task="服务器", needs=["服务器搬到哪里"])
    assert [memory["memory_id"] for memory in packed["memories"]] == [moved]
    assert packed["uncovered"] == []
    packed = await build(app, task="服务器", needs=["服务器搬到哪里", "天气", "frog poetry"])
    assert (packed["uncovered"], packed["degraded"]) == (None, None)
    packed = await build(app, task="服务器", needs=["服务器搬到哪里", "frog poetry"])
    assert packed["uncovered"] == ["frog poetry"]
