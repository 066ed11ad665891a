"""The queue with concurrent writers that have locked some of its rows."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import anyio
import pytest

from memos_mcp.domain.index_queue import Claim
from memos_mcp.domain.memory import MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(hours=1)
ANN = Scope("team", "ann")
APPEND = "INSERT INTO agent_memories (namespace, agent_id, session_id, content) VALUES ('team', 'ann', 's', $1)"
EDIT = "UPDATE agent_memories SET tags = tags || 'more'::text WHERE id = $1"
HOLD = "SELECT FROM index_queue WHERE item_id = $1 FOR UPDATE"
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
LEASED = "SELECT item_id FROM index_queue WHERE claimed_until > now()"
NEVER_THE_VICTIM = "SET LOCAL deadlock_timeout = '1h'"
"""A session that never checks for deadlocks is never the victim; the other one is."""

Settle = Callable[[PostgresIndexQueue, Sequence[Claim]], Coroutine[Any, Any, None]]


@asynccontextmanager
async def writer(database: Database) -> AsyncIterator[Connection]:
    """Lend a transaction, which is committed at the end of the block."""
    connection = await database.dedicated_connection()
    await connection.execute("BEGIN")
    yield connection
    await connection.execute("COMMIT")


async def until_waiting(connection: Connection, count: int = 1) -> None:
    with anyio.fail_after(10):
        while await connection.fetchval(WAITING) < count:
            await anyio.lowlevel.checkpoint()


async def claimed(database: Database, number: int) -> list[Claim]:
    """Store as many memories, claim them, and return the claims sorted by item."""
    new = [NewMemory(f"note {one}", session_id=f"session {one}") for one in range(number)]
    await PostgresMemories(database).add_many(ANN, new, NOW)
    due = await PostgresIndexQueue(database).claim(number, LEASE)
    return sorted(due, key=lambda one: one.item_id)


async def ids(connection: Connection, statement: str) -> list[UUID]:
    return sorted(row["item_id"] for row in await connection.fetch(statement))


async def test_a_finish_waits_only_for_a_locked_row_and_then_hands_it_back(
    database: Database,
) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 5)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, writer(database) as connection:
            await connection.execute(EDIT, due[3].item_id)
            tasks.start_soon(queue.finish, due)
            await until_waiting(connection)
            assert await ids(connection, "SELECT item_id FROM index_queue") == [due[3].item_id]
            for one in due:
                await connection.execute(EDIT, one.item_id)
    again = await queue.claim(9, LEASE)
    assert sorted(one.item_id for one in again) == [one.item_id for one in due]
    assert min(one.version for one in again) > max(one.version for one in due)


async def test_a_finish_during_an_edit_clears_all_but_the_edited_item_and_hands_it_back(database: Database) -> None:
    queue, memories = PostgresIndexQueue(database), PostgresMemories(database)
    edited = (await memories.add(ANN, NewMemory("edited"), NOW)).memory_id
    other = (await memories.add(ANN, NewMemory("other"), NOW)).memory_id
    due = await queue.claim(9, LEASE)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, writer(database) as connection:
            await connection.execute(EDIT, edited)
            tasks.start_soon(queue.finish, due)
            await until_waiting(connection)
            assert other not in await ids(connection, "SELECT item_id FROM index_queue")
            await connection.execute(EDIT, other)
    again = {one.item_id for one in await queue.claim(9, LEASE)}
    assert again == {edited, other}


async def test_a_finish_holds_no_row_while_it_waits_for_another(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 4)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, writer(database) as second:
            async with writer(database) as first:
                await first.execute(EDIT, due[0].item_id)
                await second.execute(EDIT, due[3].item_id)
                tasks.start_soon(queue.finish, due)
                await until_waiting(first)
            while await ids(second, LEASED) != [due[3].item_id]:
                await anyio.lowlevel.checkpoint()
            await second.execute(EDIT, due[0].item_id)
    assert sorted(one.item_id for one in await queue.claim(9, LEASE)) == [due[0].item_id, due[3].item_id]


async def test_a_finish_clears_a_row_that_a_writer_locked_but_did_not_change(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 3)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, writer(database) as connection:
            await connection.execute(HOLD, due[1].item_id)
            tasks.start_soon(queue.finish, due)
            await until_waiting(connection)
    assert (await queue.state()).depth["memory"] == 0


async def test_an_item_that_was_marked_with_a_version_drawn_before_its_claim_is_handed_back(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 2)
    async with writer(database) as connection:
        await connection.execute("UPDATE index_queue SET version = -1 WHERE item_id = $1", due[0].item_id)
    await queue.finish(due)
    assert [one.item_id for one in await queue.claim(9, LEASE)] == [due[0].item_id]


@pytest.mark.parametrize(
    "settle",
    [PostgresIndexQueue.release, lambda queue, due: queue.fail(due, "Broken", timedelta(0))],
    ids=["release", "fail"],
)
async def test_a_batch_is_handed_back_at_once_although_a_writer_locks_one_row(
    database: Database, settle: Settle
) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 5)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, writer(database) as connection:
            await connection.execute(HOLD, due[3].item_id)
            tasks.start_soon(settle, queue, due)
            await until_waiting(connection)
            assert await ids(connection, LEASED) == [due[3].item_id]
            for one in due:
                await connection.execute(EDIT, one.item_id)
    assert len(await queue.claim(9, LEASE)) == 5


async def test_a_mark_that_loses_a_deadlock_is_retried(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    due = await claimed(database, 3)
    low, middle, high = (one.item_id for one in due)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks, writer(database) as editor:
            await editor.execute(NEVER_THE_VICTIM)
            await editor.execute(EDIT, high)
            async with anyio.create_task_group() as editing, writer(database) as gate:
                await gate.execute(HOLD, middle)
                tasks.start_soon(queue.mark, "memory", [low, middle, high])
                await until_waiting(gate)
                editing.start_soon(editor.execute, EDIT, low)
                await until_waiting(gate, 2)
    await queue.finish(due)
    assert sorted(one.item_id for one in await queue.claim(9, LEASE)) == [low, middle, high]


async def test_concurrent_writers_of_one_session_never_make_a_finish_fail(
    database: Database,
) -> None:
    queue, memories = PostgresIndexQueue(database), PostgresMemories(database)
    finished = anyio.Event()

    async def write(number: int) -> None:
        dice = Random(number)
        for batch in range(10):
            moments = [NOW + timedelta(seconds=dice.randrange(9999)) for _ in range(20)]
            new = [NewMemory(f"{number} {batch} {one}", session_id="s", occurred_at=one) for one in moments]
            await memories.add_many(ANN, new, NOW)

    async def drain() -> None:
        while not finished.is_set() or (await queue.state()).depth["memory"]:
            await queue.finish(await queue.claim(64, LEASE))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain)
            async with anyio.create_task_group() as writers:
                for number in range(6):
                    writers.start_soon(write, number)
            finished.set()
    assert await memories.count("team", MemoryFilter(), NOW) == 6 * 10 * 20
