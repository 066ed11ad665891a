"""The migrations and the program that applies them."""

import re
from pathlib import Path

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, StoreUnavailable
from memos_mcp.postgres.connection import connect, translated
from memos_mcp.postgres.migrate import Migration, MigrationDrift, migrate, migrations_folder, read_migrations

pytestmark = pytest.mark.anyio

ONE = Migration("0001_one", "CREATE TABLE one (id int); INSERT INTO one VALUES (1);")
TWO = Migration("0002_two", "CREATE TABLE two (id int);")


async def apply(url: str, migrations: list[Migration]) -> list[str]:
    connection = await connect(url)
    try:
        with translated():
            return await migrate(connection, migrations)
    finally:
        await connection.close(timeout=5)


async def ask(url: str, query: str) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close(timeout=5)


def test_the_files_are_numbered_without_gaps() -> None:
    names = [migration.name for migration in read_migrations(migrations_folder())]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+", name) for name in names)


def test_no_file_needs_to_run_outside_a_transaction() -> None:
    for migration in read_migrations(migrations_folder()):
        assert not re.search(r"\b(CONCURRENTLY|VACUUM|COMMIT|BEGIN;)", migration.sql)


def test_line_ends_do_not_change_a_checksum(tmp_path: Path) -> None:
    (tmp_path / "0001_x.sql").write_bytes(b"SELECT 1;\r\n")
    assert read_migrations(tmp_path) == [Migration("0001_x", "SELECT 1;\n")]


async def test_each_is_applied_once_in_order(empty_url: str) -> None:
    assert await apply(empty_url, [ONE]) == ["0001_one"]
    assert await apply(empty_url, [ONE, TWO]) == ["0002_two"]
    assert await apply(empty_url, [ONE, TWO]) == []


async def test_each_migration_is_applied_by_one_of_eight_processes(empty_url: str) -> None:
    done: list[list[str]] = []

    async def start() -> None:
        done.append(await apply(empty_url, [ONE, TWO]))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)
    assert len(done) == 8
    assert sorted(name for names in done for name in names) == ["0001_one", "0002_two"]
    assert await ask(empty_url, "SELECT count(*) FROM one") == 1


async def test_a_file_that_was_edited_after_it_was_applied_is_refused(empty_url: str) -> None:
    await apply(empty_url, [ONE])
    with pytest.raises(MigrationDrift, match="0001_one was edited"):
        await apply(empty_url, [Migration("0001_one", ONE.sql + "-- a thought"), TWO])
    assert await ask(empty_url, "SELECT to_regclass('two')") is None


async def test_a_database_that_is_newer_than_the_program_is_refused(empty_url: str) -> None:
    await apply(empty_url, [ONE, TWO])
    with pytest.raises(MigrationDrift, match="0002_two, which this version of memos-as does not know"):
        await apply(empty_url, [ONE])


async def test_a_file_that_fails_half_way_leaves_nothing(empty_url: str) -> None:
    broken = Migration("0002_broken", "CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises((StoreUnavailable, Invalid)):
        await apply(empty_url, [ONE, broken])
    assert await ask(empty_url, "SELECT to_regclass('half')") is None
    assert await ask(empty_url, "SELECT string_agg(name, ' ') FROM schema_migrations") == "0001_one"
    assert await apply(empty_url, [ONE, TWO]) == ["0002_two"]
