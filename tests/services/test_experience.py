"""Outcomes and votes on real stores."""

from pathlib import Path

import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.index import ALL_ITEMS
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.domain.tool import NewTool, ToolExperience, ToolFilter, ToolPage, ToolQuery
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.experience import KEPT
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester", Client("an editor", "1.0", "stdio"))
TASK = "what is the weather in Berlin tomorrow"
NEED = "the weather in Berlin tomorrow please"
OUTCOMES = "SELECT tool_id, tool_version, worked, why, milliseconds, agent_id, client, transport FROM tool_outcomes"


async def register(app: App, *names: str) -> None:
    for name in names:
        tool = NewTool(name, name, f"answers questions of the {name} kind", "https://tools.example.com/x")
        await app.tools.register(SCOPE, tool)


async def ask(app: App, need: str = NEED, scope: Scope = SCOPE) -> ToolPage:
    return await app.tools.discover(scope, ToolQuery([need]))


def ids(page: ToolPage) -> list[str]:
    return [hit.tool.tool_id for hit in page.hits]


async def report(app: App, *tools: str, task: str = TASK, worked: bool = True, scope: Scope = SCOPE) -> None:
    for tool in tools:
        assert await app.experience.report(scope, ToolOutcome(tool, task, worked))


async def count(database: Database, table: str) -> int:
    statements = {
        "past_tasks": "SELECT count(*) FROM past_tasks",
        "tool_outcomes": "SELECT count(*) FROM tool_outcomes",
        "embeddings": "SELECT count(*) FROM embeddings",
    }
    async with database.everything.connection() as connection:
        return int(await connection.fetchval(statements[table]))


async def test_the_tool_that_worked_for_a_similar_task_is_first(app: App) -> None:
    await register(app, "alpha", "beta", "gamma")
    before = await ask(app)
    last = ids(before)[-1]
    await report(app, last)
    after = await ask(app)
    assert ids(after)[0] == last
    assert after.hits[0].experience == ToolExperience(tasks=1, worked=1)
    assert [hit.experience for hit in before.hits] == [None] * 3


async def test_a_tool_that_failed_sinks(app: App) -> None:
    await register(app, "alpha", "beta")
    first = ids(await ask(app))[0]
    for task in (TASK, f"{TASK} at noon", f"{TASK} at night"):
        await report(app, first, task=task, worked=False)
    assert ids(await ask(app))[-1] == first


async def test_a_loadout_prefers_the_tool_that_worked(app: App) -> None:
    await register(app, "weather", "gamma")
    await report(app, "gamma")
    await report(app, "weather", worked=False)
    tools = (await app.loadouts.gather(SCOPE, None, NEED)).tools
    assert [(find.key, find.covers) for find in tools.asks[0].finds] == [("gamma", True), ("weather", False)]


async def test_an_outcome_is_kept_with_the_version_of_the_tool_and_who_reported_it(
    app: App, database: Database
) -> None:
    await register(app, "alpha")
    await app.tools.register(SCOPE, NewTool("alpha", "alpha", "another text", "https://tools.example.com/x"))
    assert await app.experience.record(SCOPE, ToolOutcome("alpha", TASK, worked=False, why="quota", milliseconds=12))
    async with database.everything.connection() as connection:
        [row] = await connection.fetch(OUTCOMES)
    assert dict(row) == {
        "tool_id": "alpha",
        "tool_version": 2,
        "worked": False,
        "why": "quota",
        "milliseconds": 12,
        "agent_id": "tester",
        "client": "an editor",
        "transport": "stdio",
    }


async def test_a_record_can_name_the_program_that_called(app: App, database: Database) -> None:
    await register(app, "alpha")
    await app.experience.record(SCOPE, ToolOutcome("alpha", TASK, worked=True), Client("orchestrator", "2", "stdio"))
    async with database.everything.connection() as connection:
        assert [row["client"] for row in await connection.fetch(OUTCOMES)] == ["orchestrator"]


async def test_a_task_is_kept_once_and_its_newest_outcomes_up_to_a_bound(app: App, database: Database) -> None:
    await register(app, "alpha", "beta")
    await report(app, *["alpha"] * (KEPT + 3), "beta")
    await report(app, "alpha", scope=Scope("here", "another agent"))
    assert await count(database, "past_tasks") == 1
    assert await count(database, "tool_outcomes") == KEPT + 2


async def test_an_outcome_of_an_unknown_tool_is_not_kept(app: App, database: Database) -> None:
    assert not await app.experience.record(SCOPE, ToolOutcome("alpha", TASK, worked=True))
    with pytest.raises(NotFound, match="no such tool"):
        await app.experience.report(SCOPE, ToolOutcome("alpha", TASK, worked=True))
    assert await count(database, "past_tasks") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ToolOutcome("alpha", " ", worked=True),
        ToolOutcome("alpha", "x" * 10_001, worked=True),
        ToolOutcome("alpha", TASK, worked=True, why=""),
        ToolOutcome("alpha", TASK, worked=True, milliseconds=-1),
    ],
)
async def test_an_outcome_that_cannot_be_kept_is_refused(app: App, wrong: ToolOutcome) -> None:
    with pytest.raises(Invalid):
        await app.experience.report(SCOPE, wrong)


async def test_experience_stays_within_its_namespace(app: App) -> None:
    there = Scope("there", "tester")
    await register(app, "alpha", "beta")
    for name in ("alpha", "beta"):
        await app.tools.register(there, NewTool(name, name, f"answers {name}", "https://tools.example.com/x"))
    await report(app, "beta")
    assert [hit.experience for hit in (await ask(app, scope=there)).hits] == [None, None]


async def test_past_tasks_bring_in_a_tool_that_the_search_did_not_propose(app: App) -> None:
    await register(app, *(f"weather {number}" for number in range(60)), "zeta")
    cold = await app.tools.discover(SCOPE, ToolQuery(["weather in Berlin kind"], limit=50))
    await report(app, "zeta", task="weather in Berlin kind")
    found = await app.tools.discover(SCOPE, ToolQuery(["weather in Berlin kind"], limit=50))
    assert "zeta" not in ids(cold)
    assert "zeta" in ids(found)


async def test_a_vote_does_not_bring_in_what_a_filter_excludes(app: App) -> None:
    await register(app, "alpha")
    await app.tools.register(
        SCOPE, NewTool("able", "able", "x", "https://tools.example.com/x", required_capabilities=["network"])
    )
    await report(app, "able")
    page = await app.tools.discover(SCOPE, ToolQuery([NEED], ToolFilter(agent_has=[])))
    assert ids(page) == ["alpha"]


async def test_an_unregistered_tool_has_its_experience_again_when_it_comes_back(app: App) -> None:
    await register(app, "alpha", "beta")
    await report(app, "beta")
    await app.tools.unregister(SCOPE, ["beta"])
    assert ids(await ask(app)) == ["alpha"]
    await register(app, "beta")
    assert ids(await ask(app))[0] == "beta"


async def test_without_the_index_tools_are_found_by_words_and_nothing_votes(app: App, index: DownIndex) -> None:
    await register(app, "alpha", "beta")
    await report(app, "beta")
    index.down = True
    page = await ask(app, "alpha kind")
    assert ids(page)[0] == "alpha"
    assert page.degraded is not None
    assert all(hit.experience is None for hit in page.hits)


async def test_a_forgotten_task_is_erased_with_its_outcomes_and_its_vector(app: App, database: Database) -> None:
    await register(app, "alpha", "beta")
    before = await count(database, "embeddings")
    await report(app, "beta")
    [task] = await app.experience.past_tasks(SCOPE, "BERLIN", 10)
    assert (task.task, task.outcomes, task.worked, task.tools) == (TASK, 1, 1, ["beta"])

    assert await app.experience.forget(Scope("there", "tester"), [task.task_id]) == set()
    assert await app.experience.forget(SCOPE, [task.task_id]) == {task.task_id}

    assert await app.experience.past_tasks(SCOPE, None, 10) == []
    assert [await count(database, table) for table in ("past_tasks", "tool_outcomes", "embeddings")] == [0, 0, before]
    assert await app.index.count("task", ALL_ITEMS) == 0
    assert [hit.experience for hit in (await ask(app)).hits] == [None, None]


async def test_a_fresh_index_holds_the_past_tasks(app: App) -> None:
    await register(app, "alpha", "beta")
    await report(app, "beta")
    await app.indexer.rebuild()
    assert (await app.doctor.diagnose()).problems == ()
    assert ids(await ask(app))[0] == "beta"


async def test_switched_off_nothing_is_recorded_and_nothing_votes(
    tmp_path: Path, database: Database, index: DownIndex, embedder: HashEmbedder
) -> None:
    async with running(compose(Settings(home=tmp_path), database, index, embedder)) as app:
        await register(app, "alpha", "beta")
        await report(app, "beta")
    off = Settings(home=tmp_path, experience=False)
    async with running(compose(off, database, index, embedder)) as app:
        await caught_up(app)
        assert not await app.experience.record(SCOPE, ToolOutcome("beta", "another task", worked=True))
        with pytest.raises(Invalid, match="MEMOS_EXPERIENCE"):
            await app.experience.report(SCOPE, ToolOutcome("beta", TASK, worked=True))
        assert [hit.experience for hit in (await ask(app)).hits] == [None, None]
