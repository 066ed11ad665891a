"""The way to the database opens by itself and heals by itself."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, StoreUnavailable
from memos_mcp.postgres.cluster import Cluster
from memos_mcp.postgres.connection import BAD_ADDRESS, UNAVAILABLE, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded import EmbeddedPostgres
from memos_mcp.postgres.migrate import MigrationDrift

pytestmark = pytest.mark.anyio


async def until_it_works(call: Callable[[], Awaitable[object]]) -> None:
    with anyio.fail_after(20):
        while True:
            try:
                await call()
            except StoreUnavailable:
                await anyio.lowlevel.checkpoint()
            else:
                return


async def test_making_a_database_does_nothing(home: Path) -> None:
    await Database(EmbeddedPostgres(home / "none" / "postgres")).close()
    await Database("postgresql://nobody@nowhere.invalid/x").close()
    assert not (home / "none").exists()


async def test_the_first_use_migrates(empty_url: str) -> None:
    database = Database(empty_url)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0
    assert int((await database.server_version()).split(".")[0]) >= 15
    await database.close()


async def test_many_first_uses_at_once_open_once(empty_url: str) -> None:
    database = Database(empty_url)
    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(database.server_version)
    await database.close()


async def test_a_database_that_is_not_there_is_told_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql://ann:secret@127.0.0.1:1/x")
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as caught:
            await database.server_version()
        assert str(caught.value) == UNAVAILABLE
    assert "secret" not in caplog.text
    assert caplog.text.count("Postgres is not there") == 1  # the second call failed without trying
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
    async with database.connection() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    killer = await database.listener()

    async def ask_on_a_dead_connection() -> None:
        async with database.connection() as connection:
            assert await killer.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            await connection.fetchval("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await ask_on_a_dead_connection()
    await database.server_version()


async def test_a_value_that_does_not_fit_is_the_callers_business(database: Database) -> None:
    async def store_too_much() -> None:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO registered_tools (tool_id) VALUES (repeat('x', 256))")

    with pytest.raises(Invalid, match="Shorten or simplify"):
        await store_too_much()


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(database: Database) -> None:
    insert = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('n', 'a', 'x')"
    for _ in range(20):  # more than the pool has
        with anyio.move_on_after(0.05):
            async with database.transaction() as connection:
                await connection.execute(insert)
                await connection.execute("SELECT pg_sleep(60)")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0


async def test_drift_is_told_on_every_call(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute("UPDATE schema_migrations SET checksum = 'edited'")
    await connection.close(timeout=5)
    database = Database(database_url)
    for _ in range(2):
        with pytest.raises(MigrationDrift, match="0001_initial was edited"):
            await database.server_version()
    await database.close()


async def test_calls_work_again_when_the_server_is_back_and_an_embedded_one_is_brought_back(home: Path) -> None:
    insert = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('n', 'a', 'x')"
    folder = home / "postgres"
    server = EmbeddedPostgres(folder)
    remote, embedded = Database(await server.start()), Database(server)
    async with embedded.connection() as connection:
        await connection.execute(insert)
    await remote.server_version()

    await anyio.to_thread.run_sync(Cluster(folder / "data").stop)
    with pytest.raises(StoreUnavailable, match="cannot be reached just now"):
        await remote.server_version()
    await until_it_works(embedded.server_version)
    await until_it_works(remote.server_version)

    pid = int((await anyio.Path(folder / "data" / "postmaster.pid").read_text()).split()[0])
    os.kill(pid, signal.SIGKILL)
    with anyio.fail_after(20):
        while not (await anyio.Path(folder / "data" / "log").read_text()).count("database system was interrupted"):
            await until_it_works(embedded.server_version)
    await until_it_works(remote.server_version)

    async with remote.connection() as connection:
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
