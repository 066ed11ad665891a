"""Models that are learnt from the past tasks of a namespace, on real stores."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_mcp.app import App
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.experience import PostgresExperience
from memos_mcp.retrieval.task_model import FEWEST
from memos_mcp.services.task_models import FEWEST_NEW, MAX_AGE, PROVISIONAL_AGE, TaskModels
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
ABOUT = {"mail": "letter stamp parcel envelope", "map": "street river bridge harbour"}
NEED = "which bridge crosses the river"


class Clock:
    """A clock that a test advances."""

    now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def report(app: App, tool: str, count: int, first: int = 0) -> None:
    words = ABOUT[tool].split()
    tasks = [f"{words[number % 4]} {words[number % 3]} number {number}" for number in range(first, first + count)]
    await app.experience.record_all(SCOPE, [ToolOutcome(tool, task, worked=True) for task in tasks])
    await caught_up(app)


async def register(app: App) -> dict[str, str]:
    """Register the tools; return their ids in the index by name."""
    done = {
        tool: await app.tools.register(SCOPE, NewTool(tool, tool, f"Is about {tool}.", "https://x.example"))
        for tool in ABOUT
    }
    found = await app.tools.get(SCOPE, list(done))
    return {tool: str(found[tool].id) for tool in done}


async def test_a_need_like_the_past_tasks_of_a_tool_gives_it_the_greatest_share(app: App, database: Database) -> None:
    ids = await register(app)
    models = TaskModels(PostgresExperience(database), HashEmbedder().model, lambda: True, Clock())
    [need] = await HashEmbedder().queries([NEED])
    assert await models.shares(SCOPE.namespace, need) == {}
    for tool in ABOUT:
        await report(app, tool, 2 * FEWEST)
    models.forget(SCOPE.namespace)
    shares = await models.shares(SCOPE.namespace, need)
    assert shares[ids["map"]] > shares[ids["mail"]]
    assert await models.shares("elsewhere", need) == {}


async def test_a_model_is_learnt_again_after_enough_reports_and_after_some_time(app: App, database: Database) -> None:
    ids = await register(app)
    clock = Clock()
    models = TaskModels(PostgresExperience(database), HashEmbedder().model, lambda: True, clock)
    [need] = await HashEmbedder().queries([NEED])
    await report(app, "mail", 2 * FEWEST)
    assert list(await models.shares(SCOPE.namespace, need)) == [ids["mail"]]
    await report(app, "map", 2 * FEWEST)
    assert list(await models.shares(SCOPE.namespace, need)) == [ids["mail"]]
    models.reported(SCOPE.namespace, FEWEST_NEW)
    assert set(await models.shares(SCOPE.namespace, need)) == set(ids.values())
    await app.tools.unregister(SCOPE, ["mail"])
    assert set(await models.shares(SCOPE.namespace, need)) == set(ids.values())
    clock.now += MAX_AGE
    assert list(await models.shares(SCOPE.namespace, need)) == [ids["map"]]


async def test_a_model_is_provisional_while_tasks_wait_to_be_indexed(app: App, database: Database) -> None:
    await register(app)
    clock = Clock()
    models = TaskModels(PostgresExperience(database), HashEmbedder().model, lambda: False, clock)
    [need] = await HashEmbedder().queries([NEED])
    assert await models.shares(SCOPE.namespace, need) == {}
    for tool in ABOUT:
        await report(app, tool, 2 * FEWEST)
    assert await models.shares(SCOPE.namespace, need) == {}
    clock.now += PROVISIONAL_AGE
    assert await models.shares(SCOPE.namespace, need)


async def test_a_disabled_tool_and_tasks_for_which_no_tool_worked_teach_nothing(app: App, database: Database) -> None:
    ids = await register(app)
    models = TaskModels(PostgresExperience(database), HashEmbedder().model, lambda: True, Clock())
    [need] = await HashEmbedder().queries([NEED])
    for tool in ABOUT:
        await report(app, tool, 2 * FEWEST)
    await app.tool_sources.set_enabled(SCOPE, ["mail"], enabled=False)
    failed = [ToolOutcome("map", f"a failed letter {number}", worked=False) for number in range(2 * FEWEST)]
    await app.experience.record_all(SCOPE, failed)
    await caught_up(app)
    reports, vectors = await PostgresExperience(database).examples(SCOPE.namespace, HashEmbedder().model, 100)
    assert {str(one.tool) for one in reports} == {ids["map"]}
    assert len(reports) == len(vectors) == 2 * FEWEST
    assert list(await models.shares(SCOPE.namespace, need)) == [ids["map"]]


async def test_only_the_newest_examples_are_read(app: App, database: Database) -> None:
    await register(app)
    await report(app, "map", 6)
    reports, vectors = await PostgresExperience(database).examples(SCOPE.namespace, HashEmbedder().model, 4)
    assert len(reports) == len(vectors) == 4
    assert max(one.newest for one in reports) - min(one.newest for one in reports) < timedelta(minutes=1)
