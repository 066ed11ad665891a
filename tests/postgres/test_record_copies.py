"""The record is read in one snapshot, and loaded into an empty database in one transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.record import RecordOutline, RecordTable, Write
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from memos_mcp.postgres.record_loading import NotEmpty, load_into
from memos_mcp.postgres.record_snapshot import COUNTS, RecordSnapshot, take_snapshot
from tests.conftest import fresh_database
from tests.postgres.record_rows import SAMPLE, populate, record_rows

pytestmark = pytest.mark.anyio

DERIVED = {"audit_records", "schema_migrations", "stored_amounts", "index_queue", "index_log", "engines"}
"""Tables that describe a database's own index and processes, and no part of the record."""

SCOPE = Scope("team", "ann")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def snapshot_of(url: str, *, vectors: bool = True) -> AsyncIterator[RecordSnapshot]:
    async with connected(url) as connection, connection.transaction():
        yield await take_snapshot(connection, vectors=vectors)


async def copy(source: str, target: str, *, vectors: bool = True) -> None:
    async with snapshot_of(source, vectors=vectors) as snapshot:
        await load_into(target, snapshot)


@pytest.fixture
async def populated_url(empty_url: str) -> str:
    async with connected(empty_url) as connection:
        await populate(connection)
    return empty_url


class Broken:
    """A source that fails in the middle of a table."""

    def __init__(self, snapshot: RecordSnapshot) -> None:
        self.outline = snapshot.outline
        self._snapshot = snapshot

    async def copy_rows(self, table: RecordTable, write: Write) -> None:
        await self._snapshot.copy_rows(table, write)
        if table.name == "embeddings":
            raise Invalid("the file is damaged")


async def test_every_table_is_copied_or_derived(database_url: str) -> None:
    async with connected(database_url) as connection:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    assert {row["relname"] for row in rows} == COUNTS.keys() | DERIVED


async def test_a_copy_has_every_row_and_column(populated_url: str, database_url: str) -> None:
    await copy(populated_url, database_url)
    rows = await record_rows(populated_url)
    assert all(rows.values())
    assert await record_rows(database_url) == rows


async def test_a_copy_numbers_new_rows_after_those_that_it_has(populated_url: str, database_url: str) -> None:
    await copy(populated_url, database_url)
    database = Database(database_url)
    await PostgresMemories(database).add(SCOPE, NewMemory("new"), NOW)
    async with database.everything.connection() as connection:
        last = await connection.fetchval(
            "SELECT count(*) FROM agent_memories WHERE sequence >= "
            "(SELECT sequence FROM agent_memories WHERE content = 'new')"
        )
        queued = await connection.fetchval("SELECT count(*) FROM index_queue")
    await database.close()
    assert (last, queued) == (1, 1)  # the triggers work again, and have queued nothing of the copy


async def test_a_copy_of_an_older_schema_is_migrated(empty_url: str, server_url: str) -> None:
    files = read_migrations(migrations_folder())
    async with connected(empty_url) as connection:
        await migrate(connection, files[:6])
        await connection.execute(SAMPLE)
    async with fresh_database(server_url) as target:
        await copy(empty_url, target)
        async with connected(target) as connection:
            assert await migrate(connection, files) == []
            assert await connection.fetchval("SELECT count(*) FROM embeddings WHERE claimed_until IS NULL") == 2


async def test_a_copy_of_a_newer_schema_is_refused(populated_url: str, server_url: str) -> None:
    async with connected(populated_url) as connection:
        await connection.execute("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_future', 'x')")
    async with fresh_database(server_url) as target:
        with pytest.raises(
            Invalid, match=r"9999_future, which this version of memos-as does not know.*Upgrade memos-as"
        ):
            await copy(populated_url, target)
        async with connected(target) as connection:
            assert await connection.fetchval("SELECT to_regclass('schema_migrations')") is None


async def test_a_copy_without_vectors_has_everything_else(populated_url: str, database_url: str) -> None:
    await copy(populated_url, database_url, vectors=False)
    assert await record_rows(database_url) == await record_rows(populated_url) | {"embeddings": []}


async def test_a_database_with_content_is_not_loaded_into(
    populated_url: str, database: Database, database_url: str
) -> None:
    await PostgresMemories(database).add(SCOPE, NewMemory("mine"), NOW)
    before = await record_rows(database_url)
    with pytest.raises(NotEmpty, match="has memories or tools already"):
        await copy(populated_url, database_url)
    assert await record_rows(database_url) == before


async def test_a_database_whose_engine_runs_is_not_loaded_into(populated_url: str, database_url: str) -> None:
    async with connected(database_url) as connection:
        await connection.execute(
            "INSERT INTO engines (id, name, version, started_at) VALUES (gen_random_uuid(), 'a', '1', now())"
        )
    with pytest.raises(Invalid, match="Stop all engines"):
        await copy(populated_url, database_url)


async def test_a_source_that_fails_leaves_nothing(populated_url: str, database_url: str) -> None:
    async with snapshot_of(populated_url) as snapshot:
        with pytest.raises(Invalid, match="the file is damaged"):
            await load_into(database_url, Broken(snapshot))
    assert not any((await record_rows(database_url)).values())


async def test_a_row_that_does_not_fit_leaves_nothing(populated_url: str, database_url: str) -> None:
    class Short(Broken):
        async def copy_rows(self, _table: RecordTable, write: Write) -> None:
            await write(b"one\ttwo\n")

    async with snapshot_of(populated_url) as snapshot:
        with pytest.raises((Invalid, StoreUnavailable)):
            await load_into(database_url, Short(snapshot))
    assert not any((await record_rows(database_url)).values())


async def test_an_empty_database_is_a_snapshot_without_tables(empty_url: str, server_url: str) -> None:
    async with snapshot_of(empty_url) as snapshot:
        assert snapshot.outline == RecordOutline({}, (), {})
    async with fresh_database(server_url) as target:
        await copy(empty_url, target)
        assert not any((await record_rows(target)).values())


async def test_a_snapshot_does_not_see_what_is_stored_while_it_is_read(database: Database, database_url: str) -> None:
    memories = PostgresMemories(database)
    await memories.add(SCOPE, NewMemory("before"), NOW)
    found = list[bytes]()

    async def write(chunk: bytes) -> None:
        found.append(chunk)

    async with snapshot_of(database_url) as snapshot:
        await memories.add(SCOPE, NewMemory("during"), NOW)
        for table in snapshot.outline.tables:
            await snapshot.copy_rows(table, write)
    assert b"".join(found).count(b"before") == 1
    assert b"during" not in b"".join(found)


async def test_a_record_is_copied_through_a_transaction_pooler(
    pooled: Database, pooler_url: str, server_url: str, database_url: str
) -> None:
    await PostgresMemories(pooled).add(SCOPE, NewMemory("through the pooler"), NOW)
    async with fresh_database(server_url) as target, pooled.everything.transaction() as connection:
        snapshot = await take_snapshot(connection)
        through = urlunsplit(urlsplit(pooler_url)._replace(path=urlsplit(target).path))
        with anyio.fail_after(30):
            await load_into(through, snapshot, prepared_statements=False)
        assert await record_rows(target) == await record_rows(database_url)
