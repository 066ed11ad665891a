"""A full disk is reported as a full disk, and the store works again once there is space."""

import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import DISK_FULL
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.memories import PostgresMemories
from tests.postgres.test_database import until_it_works
from tests.prepared_home import copy_home
from tests.small_disk import MIB, filled, small_disk

pytestmark = pytest.mark.anyio

SCOPE = Scope("team", "ann")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    with small_disk(home, 150) as folder:
        yield folder


@pytest.fixture
async def embedded(disk: Path) -> AsyncIterator[Database]:
    database = Database(EmbeddedPostgres(disk / "postgres", settings="fsync = off\n"))
    yield database
    await database.close()


@pytest.fixture
def used(disk: Path, home_template: Path) -> Path:
    """A disk with the data folder of the server."""
    copy_home(home_template / "postgres", disk / "postgres")
    return disk


async def store(database: Database) -> None:
    """Store a content that no compression makes smaller."""
    await PostgresMemories(database).add(SCOPE, NewMemory(os.urandom(15_000).hex()), NOW)


async def first_error(database: Database) -> str:
    """Store until that fails; return the error."""
    with anyio.fail_after(30):
        while True:
            try:
                await store(database)
            except StoreUnavailable as error:
                return str(error)


async def test_a_table_that_cannot_grow_is_a_full_disk(embedded: Database, used: Path) -> None:
    await store(embedded)
    with filled(used):
        assert await first_error(embedded) == DISK_FULL
        assert await first_error(embedded) == DISK_FULL
    await until_it_works(lambda: store(embedded))


async def test_a_server_that_stops_because_it_cannot_write_its_log_has_a_full_disk(
    embedded: Database, used: Path
) -> None:
    await store(embedded)
    with filled(used, keep=12 * MIB):  # tables can grow; the log needs 16 MiB at a time
        assert await first_error(embedded) == DISK_FULL
        with anyio.fail_after(20):  # nor can it start again; in between it reports that it recovers
            while await first_error(embedded) != DISK_FULL:
                await anyio.lowlevel.checkpoint()
    await until_it_works(lambda: store(embedded))


async def test_a_cluster_that_cannot_be_created_has_a_full_disk(embedded: Database, disk: Path) -> None:
    with filled(disk, keep=20 * MIB):
        assert await first_error(embedded) == DISK_FULL
    await until_it_works(lambda: store(embedded))


async def test_a_folder_that_cannot_be_created_is_on_a_full_disk(embedded: Database, disk: Path) -> None:
    with filled(disk):
        assert await first_error(embedded) == DISK_FULL
    await until_it_works(lambda: store(embedded))


async def test_a_full_disk_of_any_server_is_reported(database: Database) -> None:
    async def raise_it() -> None:
        async with database.everything.connection() as connection:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$")

    with pytest.raises(StoreUnavailable) as caught:
        await raise_it()
    assert str(caught.value) == DISK_FULL
    await database.server_version()
