"""The stores work through a pgbouncer in transaction mode, which keeps no sessions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest

from memos_mcp.app import compose, running
from memos_mcp.domain.errors import StoreUnavailable, Unavailable
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import POOLER, connect
from memos_mcp.postgres.database import POLLING, Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder

pytestmark = pytest.mark.anyio

SCOPE = Scope("team", "ann")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def store(database: Database, content: str) -> None:
    await PostgresMemories(database).add(SCOPE, NewMemory(content), NOW)


async def test_a_store_is_found_by_meaning_without_notifications(
    pooled: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = compose(
        Settings(home=tmp_path, index_wait_seconds=10), pooled, EdgeIndex(tmp_path / "index", 1_000), HashEmbedder()
    )
    async with running(app):
        stored = await app.memories.store(SCOPE, NewMemory("The ferry leaves at noon."))
        assert stored.indexed
        found = await app.memories.query(SCOPE, MemoryQuery("ferry"))
        assert [one.memory.content for one in found.hits] == ["The ferry leaves at noon."]
    assert caplog.messages.count(POLLING) == 1


async def test_concurrent_stores_through_few_sessions_are_all_kept(pooled: Database) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(store, pooled, f"Note {number}")
    async with pooled.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 60


async def test_nothing_that_is_set_for_a_transaction_stays_on_a_session(pooled: Database) -> None:
    async with pooled.everything.connection() as connection:
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    async with pooled.everything.lookup() as connection:
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
        address = urlunsplit(urlsplit(str(pooled._dsn)))
    other = await connect(address, prepared_statements=False)
    for _ in range(20):  # more than the pooler has sessions
        assert await other.fetchval("SHOW plan_cache_mode") == "auto"
        assert await other.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
    await other.close(timeout=5)


async def test_one_run_at_a_time_ingests_a_source_whatever_limits_the_server_sets(
    pooled: Database, database_url: str
) -> None:
    admin = await connect(database_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '100ms'")
    sources = PostgresSources(pooled)
    async with sources.lock(SCOPE, "app"):
        await admin.execute("SELECT pg_sleep(0.3)")
        with pytest.raises(Unavailable, match="Another run is ingesting app"):
            async with PostgresSources(pooled).lock(SCOPE, "app"):
                pass
    async with sources.lock(SCOPE, "app"):
        pass
    await admin.close(timeout=5)


async def test_a_wait_for_work_ends_with_a_store_and_else_in_time(pooled: Database) -> None:
    queue = PostgresIndexQueue(pooled)
    with anyio.fail_after(20):
        await queue.wait(0.1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 3_600)
            await store(pooled, "The key is under the mat.")
        (claim,) = await queue.claim(10, timedelta(minutes=1))
        await queue.wait(0.6)  # a claimed item is no reason to return
        await queue.finish([claim])


async def test_a_direct_address_brings_notifications_back(pooled: Database, database_url: str) -> None:
    await pooled.server_version()
    database = Database(str(pooled._dsn), prepared_statements=False, direct_url=database_url)
    queue = PostgresIndexQueue(database)
    await queue.wait(3_600)  # the first wait connects
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 3_600)
            await store(pooled, "The key is under the mat.")
    await database.close()


async def test_prepared_statements_through_a_pooler_are_an_error_that_names_the_setting(pooled: Database) -> None:
    await pooled.server_version()
    database = Database(str(pooled._dsn))
    with pytest.raises(StoreUnavailable) as caught:
        await database.server_version()
    assert str(caught.value) == POOLER
    await database.close()


async def test_a_statement_prepared_on_another_session_names_the_setting(database: Database) -> None:
    async def execute() -> None:
        async with database.everything.connection() as connection:
            await connection.execute("EXECUTE prepared_elsewhere")

    with pytest.raises(StoreUnavailable) as caught:
        await execute()
    assert str(caught.value) == POOLER
