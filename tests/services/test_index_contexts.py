"""Each point is made of its row and of its present neighbours in the record, whatever happened in between."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.domain.index import ALL_ITEMS, ItemState
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.row_states import PostgresMemoryRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.retrieval.context import REACH
from memos_mcp.services import batches, reconciliation
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALIVE = "id = (SELECT id FROM agent_memories WHERE superseded_by IS NULL ORDER BY md5(id::text || $1) LIMIT 1)"
CHANGES = (
    f"DELETE FROM agent_memories WHERE {ALIVE}",
    f"UPDATE agent_memories SET superseded_by = id WHERE {ALIVE}",
    f"UPDATE agent_memories SET expires_at = 'infinity' WHERE {ALIVE}",
    f"UPDATE agent_memories SET content = content || ' again ' || $1 WHERE {ALIVE}",
    # With another content, since the same chunk may be there already without a session or in that one.
    f"UPDATE agent_memories SET session_id = left($1, 1), content = content || ' moved ' || $1 WHERE {ALIVE}",
    f"UPDATE agent_memories SET session_id = NULL, content = content || ' moved ' || $1 WHERE {ALIVE}",
    f"UPDATE agent_memories SET occurred_at = occurred_at + length($1) * interval '1 minute' WHERE {ALIVE}",
    f"UPDATE agent_memories SET tags = ARRAY[$1] WHERE {ALIVE}",
)


Databases: TypeAlias = Callable[[], Database]


def make_app(folder: Path, database: Database) -> App:
    settings = Settings(home=folder, index_wait_seconds=0)
    return compose(settings, database, EdgeIndex(folder / "index", 1_000), HashEmbedder())


@asynccontextmanager
async def served(folder: Path, database: Database) -> AsyncIterator[App]:
    """Serve with this database, which is closed at the end."""
    async with running(make_app(folder, database)) as app:
        yield app


async def states(app: App, database: Database) -> tuple[dict[Any, ItemState], dict[Any, ItemState]]:
    """Return what the index holds, and what it should hold."""
    return await app.index.states("memory", ALL_ITEMS), await PostgresMemoryRows(database, REACH).states(ALL_ITEMS)


async def test_a_restored_folder_is_named_by_the_doctor_and_healed_at_the_start(
    tmp_path: Path, database: Database, new_database: Databases
) -> None:
    first = NewMemory("We take the ferry to Bergen", session_id="talk", occurred_at=NOON)
    second = NewMemory("Bring an umbrella", session_id="talk", occurred_at=NOON + timedelta(minutes=1))
    async with served(tmp_path, new_database()) as app:
        await app.memories.store(SCOPE, first)
        await caught_up(app)
    shutil.copytree(tmp_path / "index", tmp_path / "copy")
    async with served(tmp_path, new_database()) as app:
        await app.memories.store(SCOPE, second)
        await caught_up(app)
    shutil.rmtree(tmp_path / "index")
    shutil.copytree(tmp_path / "copy", tmp_path / "index")

    idle = make_app(tmp_path, database)
    diagnosis = await idle.doctor.diagnose()
    await idle.index.close()
    assert diagnosis.out_of_sync == 2
    assert diagnosis.problems == ("2 items are out of sync with the index and not queued. Run: memos-as reindex",)

    async with served(tmp_path, new_database()) as app:
        await caught_up(app)
        page = await app.memories.query(SCOPE, MemoryQuery("umbrella"))
        assert {hit.memory.content for hit in page.hits if "bm25" in hit.signals} == {first.content, second.content}
        assert (await app.doctor.diagnose()).problems == ()


async def test_a_neighbour_is_queued_before_its_cause_counts_as_indexed(
    tmp_path: Path, database: Database, new_database: Databases
) -> None:
    async with served(tmp_path, new_database()) as app:
        await app.memories.store(SCOPE, NewMemory("first", session_id="s", occurred_at=NOON))
        await caught_up(app)
        finish, seen = app.queue.finish, []

        async def watch(due: Any) -> None:
            seen.append(sum((await app.queue.state()).depth.values()))
            await finish(due)

        app.queue.finish = watch  # type: ignore[method-assign]  # the real queue, watched
        await app.memories.store(SCOPE, NewMemory("second", session_id="s", occurred_at=NOON))
        await caught_up(app)
        assert seen[0] == 2
        held, expected = await states(app, database)
        assert held == expected


async def change(app: App, database: Database, dice: Random) -> None:
    """Store, correct, move, ingest or delete something."""
    number = str(dice.randrange(10**6))
    match dice.choice(("store", "store", "batch", "file", "file", "sql", "sql", "sql")):
        case "store":
            minute = timedelta(minutes=dice.randrange(20))
            new = NewMemory(f"note {number}", session_id=dice.choice((None, "1", "2", "3")), occurred_at=NOON + minute)
            await app.memories.store(SCOPE, new)
        case "batch":
            messages = [NewMemory(f"line {number} {one}", session_id=str(one % 3)) for one in range(dice.randrange(12))]
            await app.memories.store_many(SCOPE, messages)
        case "file":
            sources, path = PostgresSources(database), dice.choice(("a.py", "b.py"))
            source = dice.choice(("app", "lib"))
            texts = [f"{path} part {dice.randrange(9)}" for _ in range(dice.randrange(8))]
            parts = [NewMemory(text, kind="document", metadata={"source": source}) for text in texts]
            if parts:
                await sources.replace(SCOPE, source, [StoredFile(path, number.encode(), parts)], datetime.now(UTC))
            else:
                await sources.remove(SCOPE, source, [path])
        case "sql":
            async with database.everything.connection() as connection:
                await connection.execute(dice.choice(CHANGES), number)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
async def test_every_point_has_the_context_of_the_record_after_random_changes_and_crashes(
    tmp_path: Path,
    database: Database,
    new_database: Databases,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(batches, "BATCH", 5)
    monkeypatch.setattr(reconciliation, "PAGE_ITEMS", 7)
    dice = Random(seed)
    for _ in range(4):
        async with served(tmp_path, new_database()) as app:
            await caught_up(app)
            held, expected = await states(app, database)
            assert held == expected
            for _ in range(3):
                for _ in range(dice.randrange(25)):
                    await change(app, database, dice)
                await caught_up(app)
                held, expected = await states(app, database)
                assert held == expected
            assert {state.context is None for state in held.values()} == {True, False}
            for _ in range(dice.randrange(25)):
                await change(app, database, dice)
            assert isinstance(app.index, EdgeIndex)
            await app.index._running().worker.kill()
