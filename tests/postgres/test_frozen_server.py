"""A server that does not answer is reported within seconds, and a statement that takes long is not given up."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import UNAVAILABLE, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.cluster import Cluster
from memos_mcp.postgres.memories import PostgresMemories
from tests.postgres.frozen import frozen
from tests.postgres.test_database import INSERT, SLEEP_ON, until_asleep, until_it_works
from tests.prepared_home import copy_home

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")]

SCOPE = Scope("team", "ann")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
BOUND = 5.0
"""The most that a client waits for the error."""

ROWS = "SELECT count(*) FROM agent_memories"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memos_mcp.postgres.watchdog.SILENCE_SECONDS", 0.1)
    monkeypatch.setattr("memos_mcp.postgres.watchdog.PROBE_SECONDS", 0.5)


@pytest.fixture(scope="module")
def data(home_template: Path) -> Iterator[Path]:
    """The data folder of a running server that other tests do not use."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(copy_home(home_template / "postgres", Path(folder, "postgres")) / "data", "fsync = off\n")
        cluster.start()
        yield cluster.data
        cluster.stop()


@pytest.fixture
def url(data: Path) -> str:
    return Cluster(data).start().format(database="memos")


@pytest.fixture
async def embedded(url: str) -> AsyncIterator[Database]:
    """An open database with a small pool."""
    database = Database(url, pool_size=2)
    async with database.everything.connection() as connection:
        await connection.execute("TRUNCATE agent_memories")
    yield database
    await database.close()


async def store(database: Database) -> None:
    await PostgresMemories(database).add(SCOPE, NewMemory("The key is under the mat."), NOW)


async def rows(database: Database) -> int:
    async with database.everything.connection() as connection:
        return int(await connection.fetchval(ROWS))


async def fails_within(seconds: float, database: Database) -> None:
    with anyio.fail_after(seconds), pytest.raises(StoreUnavailable) as caught:
        await store(database)
    assert str(caught.value) == UNAVAILABLE


@pytest.mark.slow  # the figures of a real installation
async def test_a_frozen_server_is_reported_within_five_seconds_and_a_repeated_store_is_stored_once(
    embedded: Database, data: Path, url: str
) -> None:
    fresh = Database(url)
    with frozen(data):
        async with anyio.create_task_group() as tasks:
            for _ in range(6):  # more than the pool has
                tasks.start_soon(fails_within, BOUND, embedded)
        await fails_within(BOUND, fresh)  # cannot even connect
    await fresh.close()
    await until_it_works(lambda: store(embedded))
    await store(embedded)
    assert await rows(embedded) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_a_frozen_server_interrupts_can_be_repeated(embedded: Database, data: Path) -> None:
    with frozen(data):
        await fails_within(BOUND, embedded)
        await fails_within(0.5, embedded)  # the next one fails at once
    await until_it_works(lambda: store(embedded))
    await store(embedded)
    assert await rows(embedded) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_commit_that_a_frozen_server_does_not_answer_is_reported(embedded: Database, data: Path) -> None:
    async def commit_while_frozen() -> None:
        async with embedded.everything.transaction() as connection:
            await connection.execute(INSERT)
            stack.enter_context(frozen(data))

    with ExitStack() as stack, anyio.fail_after(BOUND), pytest.raises(StoreUnavailable):
        await commit_while_frozen()
    await until_it_works(embedded.server_version)
    assert await rows(embedded) in {0, 1}


@pytest.mark.usefixtures("impatient")
async def test_calls_that_wait_for_a_connection_of_a_frozen_server_fail_with_those_that_hold_them(
    embedded: Database, data: Path
) -> None:
    with frozen(data), anyio.fail_after(BOUND):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(fails_within, BOUND, embedded)
    await until_it_works(embedded.server_version)


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_frozen_before_the_first_use_is_reported(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Database(url)
    with frozen(data), monkeypatch.context() as patch:
        patch.setattr("memos_mcp.postgres.connection.CONNECT_SECONDS", 0.5)
        await fails_within(BOUND, fresh)
    await until_it_works(fresh.server_version)
    await fresh.close()


@pytest.mark.usefixtures("impatient")
async def test_a_statement_that_runs_long_on_a_server_that_answers_is_not_given_up(database: Database) -> None:
    async with database.everything.connection() as connection:
        await connection.execute("SELECT pg_sleep(1.5)")  # more than two probes


@pytest.mark.usefixtures("impatient")
async def test_a_direct_address_that_cannot_be_used_ends_no_statement(database_url: str) -> None:
    database = Database(database_url, direct_url="mysql://nowhere")
    async with database.everything.connection() as connection:
        await connection.execute("SELECT pg_sleep(0.5)")
    await database.close()


@pytest.mark.usefixtures("impatient")
async def test_a_wait_for_a_busy_pool_is_not_given_up(database_url: str) -> None:
    database = Database(database_url, pool_size=2)
    observer = await connect(database_url)

    async def sleep() -> None:
        with suppress(StoreUnavailable):
            async with database.everything.connection() as connection:
                await connection.execute(SLEEP_ON)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(sleep)
            pids = await until_asleep(observer, 2)
            tasks.start_soon(database.server_version)
            await observer.execute("SELECT pg_sleep(1.5)")  # more than two probes
            await observer.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest($1::int[]) AS pid", pids)
    await observer.close(timeout=5)
    await database.close()


async def test_a_pool_that_stays_busy_is_an_error_after_one_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url, pool_size=2)
    async with database.everything.connection(), database.everything.connection():
        monkeypatch.setattr("memos_mcp.postgres.database.COMMAND_SECONDS", 0.2)
        with pytest.raises(StoreUnavailable), anyio.fail_after(10):
            await database.server_version()
    assert "MEMOS_DATABASE_POOL" in caplog.text
    await database.server_version()
    await database.close()
