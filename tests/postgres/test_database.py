"""Database access opens on first use and reconnects by itself."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, StoreUnavailable
from memos_mcp.postgres.connection import BAD_ADDRESS, UNAVAILABLE, Connection, Contended, connect
from memos_mcp.postgres.database import ATTEMPTS, POOL_SIZE, Database, retried
from memos_mcp.postgres.embedded.cluster import Cluster
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.migrate import MigrationDrift
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('n', 'a', 'x')"
END = "SELECT bool_and(pg_terminate_backend(pid, 5000)) FROM unnest($1::int[]) AS pid"
SLEEP_ON = """
    DO $$
    BEGIN
        LOOP
            BEGIN
                PERFORM pg_sleep(60);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END LOOP;
    END
    $$
"""


async def until_it_works(call: Callable[[], Awaitable[object]]) -> None:
    with anyio.fail_after(20):
        while True:
            try:
                await call()
            except StoreUnavailable:
                await anyio.lowlevel.checkpoint()
            else:
                return


async def test_the_constructor_does_no_io(home: Path) -> None:
    await Database(EmbeddedPostgres(home / "none" / "postgres")).close()
    await Database("postgresql://nobody@nowhere.invalid/x").close()
    assert not (home / "none").exists()


async def test_the_first_use_migrates(empty_url: str) -> None:
    database = Database(empty_url)
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0
    assert int((await database.server_version()).split(".")[0]) >= 15
    await database.close()


@pytest.mark.skipif("MEMOS_TEST_POOLER" in os.environ, reason="through a pooler no statement is prepared")
async def test_only_a_lookup_plans_a_statement_once_for_all_parameters(database: Database) -> None:
    for lend, mode in (
        (database.everything.lookup, "force_generic_plan"),
        (database.everything.connection, "force_custom_plan"),
    ):
        async with lend() as connection:
            assert await connection.fetchval("SHOW plan_cache_mode") == mode


async def test_concurrent_lookups_are_all_answered(database: Database) -> None:
    answers: list[int] = []

    async def ask(number: int) -> None:
        async with database.everything.lookup() as connection:
            answers.append(await connection.fetchval("SELECT $1::int", number))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(ask, number)
    assert sorted(answers) == list(range(30))


async def test_concurrent_first_uses_open_one_pool(empty_url: str) -> None:
    database = Database(empty_url)
    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(database.server_version)
    await database.close()


async def test_an_unreachable_database_is_reported_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql://ann:secret@127.0.0.1:1/x")
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as caught:
            await database.server_version()
        assert str(caught.value) == UNAVAILABLE
    assert "secret" not in caplog.text
    assert caplog.text.count("Postgres cannot be used") == 1  # the second call failed without trying
    await database.close()


@pytest.mark.parametrize("address", ["postgresql://ann:se#cret@host/x", "mysql://ann:secret@host/x", "secret"])
async def test_an_address_that_cannot_be_read_is_never_quoted(address: str, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(address)
    with pytest.raises(StoreUnavailable) as caught:
        await database.server_version()
    assert "cret" not in str(caught.value) + repr(caught.value.__cause__) + caplog.text
    assert str(caught.value) in {BAD_ADDRESS, UNAVAILABLE}
    await database.close()


async def test_a_connection_that_is_cut_is_replaced(database: Database) -> None:
    async with database.everything.connection() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    killer = await database.dedicated_connection()

    async def ask_on_a_dead_connection() -> None:
        async with database.everything.connection() as connection:
            assert await killer.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            await connection.fetchval("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await ask_on_a_dead_connection()
    await database.server_version()


async def test_a_value_that_does_not_fit_is_invalid(database: Database) -> None:
    async def store_too_much() -> None:
        async with database.everything.connection() as connection:
            await connection.execute("INSERT INTO registered_tools (tool_id) VALUES (repeat('x', 256))")

    with pytest.raises(Invalid, match="Shorten or simplify"):
        await store_too_much()


async def test_a_cancelled_transaction_is_rolled_back_and_releases_its_connection(database: Database) -> None:
    for _ in range(20):  # more than the pool has
        with anyio.move_on_after(0.05):
            async with database.everything.transaction() as connection:
                await connection.execute(INSERT)
                await connection.execute("SELECT pg_sleep(60)")
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0


async def until_asleep(connection: Connection, count: int) -> list[int]:
    """Wait until so many sleep in this database; return the processes that serve them."""
    asleep = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with anyio.fail_after(10):
        while len(rows := await connection.fetch(asleep)) < count:
            await anyio.lowlevel.checkpoint()
    return [row["pid"] for row in rows]


async def run(database: Database, *statements: str) -> None:
    async with database.everything.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_a_cancelled_transaction_is_rolled_back_silently_before_its_caller_continues(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    observer = await database.dedicated_connection()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, database, INSERT, "SELECT pg_sleep(60)")
            [pid] = await until_asleep(observer, 1)
            tasks.cancel_scope.cancel()
    assert await observer.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", pid) == "idle"
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0
    assert caplog.messages == []


async def test_connections_that_ignore_cancellation_are_replaced_without_delay(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memos_mcp.postgres.access.ROLLBACK_SECONDS", 0.1)
    observer = await database.dedicated_connection()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(POOL_SIZE):
                tasks.start_soon(run, database, SLEEP_ON)
            pids = await until_asleep(observer, POOL_SIZE)
            tasks.cancel_scope.cancel()
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") not in pids
        assert await connection.fetchval(END, pids)
    assert caplog.messages == []


async def test_the_error_of_a_transaction_propagates_when_its_connection_is_lost_too(database: Database) -> None:
    observer = await database.dedicated_connection()

    async def fail_on_a_dead_connection() -> None:
        async with database.everything.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            assert await observer.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        await fail_on_a_dead_connection()
    await database.server_version()


async def test_a_contended_write_is_retried() -> None:
    asked: list[str] = []

    @retried
    async def contend_twice(what: str) -> str:
        asked.append(what)
        if len(asked) < 3:
            raise Contended(UNAVAILABLE)
        return "done"

    assert await contend_twice("tea") == "done"
    assert asked == ["tea"] * 3


async def test_a_write_that_is_always_contended_raises_store_unavailable() -> None:
    attempts: list[int] = []

    @retried
    async def contend() -> None:
        attempts.append(len(attempts))
        raise Contended(UNAVAILABLE)

    with pytest.raises(StoreUnavailable) as caught:
        await contend()
    assert type(caught.value) is StoreUnavailable
    assert len(attempts) == ATTEMPTS


async def test_migration_drift_is_reported_on_every_call(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute("UPDATE schema_migrations SET checksum = 'edited'")
    await connection.close(timeout=5)
    database = Database(database_url)
    for _ in range(2):
        with pytest.raises(MigrationDrift, match="0001_create_registered_tools was edited"):
            await database.server_version()
    await database.close()


async def test_calls_work_after_a_server_restart_and_an_embedded_server_is_restarted(
    home: Path, home_template: Path
) -> None:
    folder = copy_home(home_template / "postgres", home / "postgres")
    server = EmbeddedPostgres(folder)
    remote, embedded = Database(await server.start()), Database(server)
    async with embedded.everything.connection() as connection:
        await connection.execute(INSERT)
    await remote.server_version()

    await anyio.to_thread.run_sync(Cluster(folder / "data").stop)
    with pytest.raises(StoreUnavailable, match="cannot be reached right now"):
        await remote.server_version()
    await until_it_works(embedded.server_version)
    await until_it_works(remote.server_version)

    pid = int((await anyio.Path(folder / "data" / "postmaster.pid").read_text()).split()[0])
    os.kill(pid, signal.SIGKILL)
    with anyio.fail_after(20):
        while not (await anyio.Path(folder / "data" / "log").read_text()).count("database system was interrupted"):
            await until_it_works(embedded.server_version)
    await until_it_works(remote.server_version)

    async with remote.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 1
    await remote.close()
    await embedded.close()
    assert not (folder / "data" / "postmaster.pid").exists()


async def test_a_refused_login_names_the_setting_and_nothing_else(empty_url: str) -> None:
    address = urlsplit(empty_url)
    database = Database(urlunsplit(address._replace(path="/no_such_database")))
    with pytest.raises(StoreUnavailable, match="MEMOS_DATABASE_URL") as refused:
        await database.server_version()
    await database.close()
    assert "no_such_database" not in str(refused.value)
