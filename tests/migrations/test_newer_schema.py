"""Engines of two versions on one database: which of them start, and which continue."""

import re
from pathlib import Path

import anyio
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.postgres.connection import Connection, Contended, connect
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.migrate import Migration, MigrationDrift, migrations_folder, read_migrations
from tests.migrations.test_migrations import ONE, TWO, apply
from tests.postgres.test_pooler import NOW, SCOPE

pytestmark = pytest.mark.anyio

ADDED = Migration("0002_added", "-- additive\nALTER TABLE one ADD COLUMN note text;")
FILES = read_migrations(migrations_folder())
NEXT = "9998_next"
ADDITIVE = """-- additive
ALTER TABLE agent_memories ADD COLUMN mood text, ADD COLUMN weight real NOT NULL DEFAULT 1;
ALTER TABLE registered_tools ADD COLUMN mood text;
ALTER TABLE index_queue ADD COLUMN mood text;
CREATE TABLE moods (memory_id uuid PRIMARY KEY REFERENCES agent_memories (id) ON DELETE CASCADE);
"""
BREAKING = "ALTER TABLE agent_memories RENAME COLUMN importance TO weight;"
ADDS_NOTHING_ELSE = ("DROP ", "RENAME ", "TRUNCATE ", " TYPE ", "SET NOT NULL", "UPDATE ", "DELETE ")
FROZEN = 14
"""The migrations up to this number are older than the rule."""


@pytest.mark.parametrize("first", ["", "-- add a note\n", "-- not additive\n", "\n-- additive\n", "-- additively\n"])
def test_a_migration_is_additive_only_if_its_first_line_says_so(first: str) -> None:
    assert ADDED.additive
    assert not Migration("0002_added", first + ADDED.sql.partition("\n")[2]).additive


def test_every_migration_says_whether_it_is_additive_and_an_additive_one_changes_nothing_that_exists() -> None:
    for migration in FILES:
        if int(migration.name[:4]) > FROZEN:
            assert migration.sql.startswith(("-- additive", "-- breaking"))
        if migration.additive:
            # without what functions and triggers do later
            done_now = re.sub(r"AS \$\$.*?\$\$|CREATE TRIGGER.*?;", "", migration.sql, flags=re.DOTALL)
            assert not [word for word in ADDS_NOTHING_ELSE if word in done_now.upper()]


async def test_an_older_version_starts_on_a_newer_schema_that_only_adds(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await apply(empty_url, [ONE, ADDED])
    assert await apply(empty_url, [ONE]) == []
    assert "A newer version of memos-as has migrated the database (0002_added)" in caplog.text


async def test_an_older_version_is_refused_when_one_newer_migration_is_not_additive(empty_url: str) -> None:
    await apply(empty_url, [ONE, ADDED, Migration("0003_three", "CREATE TABLE three (id int);")])
    with pytest.raises(MigrationDrift, match="0003_three, which this version of memos-as does not know"):
        await apply(empty_url, [ONE])


async def test_versions_with_different_migrations_of_one_number_refuse_each_other(empty_url: str) -> None:
    await apply(empty_url, [ONE, ADDED])
    with pytest.raises(MigrationDrift, match="0002_added"):
        await apply(empty_url, [ONE, TWO])


async def test_a_database_from_before_the_rule_is_migrated_and_refused_as_before(empty_url: str) -> None:
    await apply(empty_url, [ONE])
    connection = await connect(empty_url)
    await connection.execute("ALTER TABLE schema_migrations DROP COLUMN additive")
    assert await apply(empty_url, [ONE]) == []
    with pytest.raises(MigrationDrift, match="0001_one"):
        await apply(empty_url, [])
    assert await apply(empty_url, [ONE, ADDED]) == ["0002_added"]
    assert await apply(empty_url, [ONE]) == []
    await connection.close(timeout=5)


async def test_engines_continue_to_read_and_write_while_a_newer_version_adds_to_the_schema(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url, pool_size=4)
    memories = PostgresMemories(database)
    (tmp_path / f"{NEXT}.sql").write_text(ADDITIVE)
    done: list[int] = []

    async def use(number: int) -> None:
        while not done:
            for _ in range(3):
                stored = await memories.add(SCOPE, NewMemory(f"memory {number} {anyio.current_time()}"), NOW)
                assert (await memories.current([stored.memory_id])).keys() == {stored.memory_id}

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(use, number)
            await anyio.lowlevel.checkpoint()
            assert await apply(database_url, [*FILES, *read_migrations(tmp_path)]) == [NEXT]
            await memories.add(SCOPE, NewMemory("after the upgrade"), NOW)
            done.append(1)
    await database.close()
    reopened = Database(database_url)
    assert await reopened.server_version()
    await reopened.close()


async def test_a_transaction_whose_statement_a_migration_has_changed_is_repeated(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    attempts: list[int] = []

    async def columns(connection: Connection) -> int:
        row = await connection.fetchrow("SELECT * FROM (SELECT 1) AS one LEFT JOIN agent_memories ON true")
        assert row is not None
        return len(row)

    @retried
    async def count() -> int:
        attempts.append(1)
        async with database.everything.transaction() as connection:
            return await columns(connection)

    before = await count()
    await apply(database_url, [*FILES, Migration(NEXT, ADDITIVE)])
    assert await count() == before + 2
    assert len(attempts) == 3, "the driver's error was repeated once, and not shown"
    await database.close()


async def test_an_engine_that_runs_reports_the_version_that_has_changed_its_tables(database_url: str) -> None:
    database = Database(database_url)
    memories = PostgresMemories(database)
    await memories.add(SCOPE, NewMemory("before"), NOW)
    await apply(database_url, [*FILES, Migration(NEXT, BREAKING)])
    with pytest.raises(StoreUnavailable, match="cannot be reached right now"):
        await memories.add(SCOPE, NewMemory("after"), NOW)
    with pytest.raises(MigrationDrift, match=f"{NEXT}.*Upgrade memos-as"):
        await memories.add(SCOPE, NewMemory("after"), NOW)
    await database.close()


async def test_a_migration_that_waits_for_a_long_transaction_gives_way_and_is_applied_later(database_url: str) -> None:
    reader, others = await connect(database_url), await connect(database_url)
    newer = [*FILES, Migration(NEXT, ADDITIVE)]
    with anyio.fail_after(20):
        async with reader.transaction():
            await reader.execute("LOCK TABLE agent_memories IN ACCESS SHARE MODE")
            with pytest.raises(Contended, match="being upgraded and waits for another transaction"):
                await apply(database_url, newer)
            assert await others.fetchval("SELECT count(*) FROM agent_memories") == 0
        assert await apply(database_url, newer) == [NEXT]
    for connection in (reader, others):
        await connection.close(timeout=5)


async def test_engines_that_start_at_once_on_an_empty_database_migrate_it_once(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(4)]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for database in databases:
                tasks.start_soon(database.server_version)
    async with databases[0].everything.connection() as connection:
        names = [row["name"] for row in await connection.fetch("SELECT name FROM schema_migrations ORDER BY name")]
    assert names == [file.name for file in FILES]
    for database in databases:
        await database.close()
