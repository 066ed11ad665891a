import json
from pathlib import Path
from uuid import uuid4

import pytest

from memos_mcp.cli.past_tasks import forget_past_tasks, list_past_tasks
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.experience import PostgresExperience, task_id
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.settings import Settings
from tests.postgres.queue_marks import NOW

pytestmark = pytest.mark.anyio

HERE = Scope("default", "ann")


@pytest.fixture
async def settings(database: Database, database_url: str, tmp_path: Path) -> Settings:
    """The settings of a home with two past tasks."""
    for name in ("alpha", "beta"):
        await PostgresTools(database).upsert("default", NewTool(name, name, name, "https://tools.example.com/x"), NOW)
    store = PostgresExperience(database)
    await store.add(HERE, [ToolOutcome("alpha", "log in with hunter2", worked=True)], NOW)
    await store.add(HERE, [ToolOutcome("beta", "what is the weather", worked=False, why="quota")], NOW)
    return Settings(home=tmp_path, database_url=database_url, index_wait_seconds=0)


async def test_past_tasks_are_listed_with_their_outcomes(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await list_past_tasks(settings, words="HUNTER", limit=10, as_json=True) == 0
    [task] = json.loads(capsys.readouterr().out)["tasks"]
    assert (task["task"], task["outcomes"], task["worked"], task["tools"]) == ("log in with hunter2", 1, 1, ["alpha"])

    assert await list_past_tasks(settings, words=None, limit=10, as_json=False) == 0
    assert sorted(line.split("\t")[1] for line in capsys.readouterr().out.splitlines()) == ["0/1", "1/1"]


async def test_a_search_without_a_match_says_so(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert await list_past_tasks(settings, words="unheard of", limit=10, as_json=False) == 0
    assert capsys.readouterr() == ("", "memos-as: No past task is recorded that matches.\n")


async def test_a_past_task_is_forgotten_by_its_id(
    settings: Settings, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    one, unknown = task_id("default", "log in with hunter2"), uuid4()
    assert await forget_past_tasks(settings, ids=[one, unknown]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 past tasks forgotten.")
    assert str(unknown) in err
    remaining = await PostgresExperience(database).past_tasks("default", None, 10)
    assert [task.task for task in remaining] == ["what is the weather"]
