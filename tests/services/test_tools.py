"""The toolbox on real stores."""

import threading

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.app import App
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolFilter, ToolPage, ToolQuery

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")

SEARCH = NewTool(
    "web.search",
    "Web Search",
    "Look up something on the internet",
    "https://tools.example.com/search",
    request_schema={"type": "object", "properties": {"maxResults": {"type": "integer", "description": "page size"}}},
    required_capabilities=["network"],
)
TODO = NewTool("todo.add", "To-Do List", "Put an item on the list of things to do", "https://tools.example.com/todo")


def ids(page: ToolPage) -> list[str]:
    return [hit.tool.tool_id for hit in page.hits]


async def test_a_registered_tool_is_found_by_its_description_and_its_parameters(app: App) -> None:
    for tool in (SEARCH, TODO):
        assert (await app.tools.register(SCOPE, tool)).indexed
    assert ids(await app.tools.discover(SCOPE, ToolQuery(["look up on the internet"])))[0] == "web.search"
    assert ids(await app.tools.discover(SCOPE, ToolQuery(["max results page size"])))[0] == "web.search"


async def test_a_repeated_registration_reports_its_outcome(app: App) -> None:
    first = await app.tools.register(SCOPE, TODO)
    same = await app.tools.register(SCOPE, TODO)
    changed = NewTool("todo.add", "To-Do List", "Remember errands", "https://tools.example.com/todo")
    other = await app.tools.register(SCOPE, changed)
    assert [(done.outcome, done.version) for done in (first, same, other)] == [
        ("created", 1),
        ("unchanged", 1),
        ("updated", 2),
    ]
    assert ids(await app.tools.discover(SCOPE, ToolQuery(["errands"]))) == ["todo.add"]


async def test_a_large_schema_is_checked_in_a_worker_thread(app: App) -> None:
    judges: list[int] = []

    class Watched(NewTool):
        def check(self) -> None:
            judges.append(threading.get_ident())
            super().check()

    tool = Watched("big", "Big", "has a schema", "https://e.example.com", {"allOf": [{}] * 3_000})
    assert (await app.tools.record(SCOPE, tool)).outcome == "created"
    assert len(judges) == 1
    assert judges[0] != threading.get_ident()


async def test_an_exact_id_or_name_is_first(app: App) -> None:
    await app.tools.register(SCOPE, NewTool("x1", "Notes", "to-do list to-do list to-do list", "https://e.example.com"))
    await app.tools.register(SCOPE, TODO)
    for text in ("todo.add", "to-do list", "TO-DO LIST"):
        page = await app.tools.discover(SCOPE, ToolQuery([text]))
        assert ids(page)[0] == "todo.add"
        assert page.hits[0].signals == {"exact": 1.0}


async def test_tools_that_require_other_capabilities_are_withheld_and_counted(app: App) -> None:
    for tool in (SEARCH, TODO):
        await app.tools.register(SCOPE, tool)
    bare = await app.tools.discover(SCOPE, ToolQuery(["search"], ToolFilter(agent_has=[])))
    able = await app.tools.discover(SCOPE, ToolQuery(["search"], ToolFilter(agent_has=["network", "disk"])))
    listed = await app.tools.discover(SCOPE, ToolQuery(filter=ToolFilter(agent_has=[])))
    assert (ids(bare), bare.withheld) == (["todo.add"], 1)
    assert (set(ids(able)), able.withheld) == ({"web.search", "todo.add"}, 0)
    assert (ids(listed), listed.withheld, listed.total) == (["todo.add"], 1, 1)


async def test_required_capabilities_keep_only_tools_that_require_them_all(app: App) -> None:
    for tool in (SEARCH, TODO):
        await app.tools.register(SCOPE, tool)
    page = await app.tools.discover(SCOPE, ToolQuery(["anything"], ToolFilter(required=["network"])))
    assert ids(page) == ["web.search"]


async def test_several_needs_are_merged_round_robin(app: App) -> None:
    for number in range(4):
        await app.tools.register(
            SCOPE, NewTool(f"mail{number}", f"Mail {number}", "send mail letters", "https://e.example.com")
        )
    await app.tools.register(SCOPE, TODO)
    page = await app.tools.discover(SCOPE, ToolQuery(["send mail letters", "things to do list"], limit=2))
    assert ids(page)[1] == "todo.add"
    assert page.total == 5


async def test_another_namespace_has_its_own_tools_under_the_same_id(app: App) -> None:
    await app.tools.register(SCOPE, TODO)
    other = await app.tools.register(Scope("elsewhere", "tester"), TODO)
    assert other.outcome == "created"
    assert (await app.tools.discover(Scope("third", "tester"), ToolQuery(["todo.add"]))).total == 0


async def test_two_clients_can_register_one_id_concurrently(app: App) -> None:
    outcomes: list[str] = []

    async def register(number: int) -> None:
        tool = NewTool("same", "Same", f"description {number}", "https://e.example.com")
        outcomes.append((await app.tools.register(SCOPE, tool)).outcome)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(register, number)
    page = await app.tools.discover(SCOPE, ToolQuery(["same"]))
    assert sorted(outcomes) == ["created", *["updated"] * 7]
    assert [hit.tool.version for hit in page.hits] == [8]
