"""Neighbours are marked correctly and without deadlocks during concurrent writes and indexing."""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest

from memos_mcp.domain.memory import MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.retrieval.context import MAX_CHARS, REACH
from tests.postgres.file_chunks import ORDER, chunks, indexed, ingest
from tests.postgres.messages import neighbours_of, store
from tests.postgres.queue_marks import LEASE, NOW, index_all, queued, run
from tests.postgres.row_locks import gate

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
APPEND = "INSERT INTO agent_memories (namespace, agent_id, session_id, content) VALUES ('team', 'ann', 's', $1)"


async def until_waiting(connection: Connection) -> None:
    with anyio.fail_after(10):
        while not await connection.fetchval(WAITING):
            await anyio.lowlevel.checkpoint()


async def test_the_second_of_two_concurrent_appends_queues_the_first(database: Database) -> None:
    async with anyio.create_task_group() as tasks, gate(database, APPEND, "a", end="COMMIT") as first:
        tasks.start_soon(run, database, APPEND, "b")
        await until_waiting(first)
        assert await queued(database) == ""
    queue = PostgresIndexQueue(database)
    assert await queued(database) == "ab"
    contents = {
        memory.memory_id: memory.content
        for memory in await PostgresMemories(database).newest("team", MemoryFilter(), None, 9, NOW)
    }
    around = await PostgresMemories(database).neighbours(
        [one.item_id for one in await queue.claim(9, LEASE)], REACH, MAX_CHARS
    )
    assert {contents[one]: [near.content for near in beside] for one, beside in around.items()} == {
        "a": ["b"],
        "b": ["a"],
    }


async def test_other_sessions_do_not_wait_for_an_append(database: Database) -> None:
    async with gate(database, APPEND, "a", end="COMMIT"):
        with anyio.fail_after(10):
            await store(database, "b", session="t")
            await store(database, "c", session=None)
            await store(database, "d", expires_at=NOW + HOUR)


async def test_batches_of_the_same_sessions_in_opposite_order_do_not_deadlock(database: Database) -> None:
    memories = PostgresMemories(database)

    async def add(scope: Scope, sessions: Sequence[int]) -> None:
        new = [NewMemory(f"{scope.agent_id} {session}", session_id=f"s{session}") for session in sessions]
        await memories.add_many(scope, new, NOW)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                sessions = range(30) if number % 2 else range(29, -1, -1)
                tasks.start_soon(add, Scope("team", f"agent {number}"), sessions)
    assert await memories.count("team", MemoryFilter(), NOW) == 180
    async with database.connection() as connection:
        assert (
            await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
        )


async def test_a_claimed_neighbour_is_handed_back_when_it_was_marked_meanwhile(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    a = await store(database, "a")
    claimed = await queue.claim(9, LEASE)
    await store(database, "b", 1)
    await queue.finish(claimed)
    assert await queued(database) == "ab"
    assert a in {one.item_id for one in await queue.claim(9, LEASE)}


async def test_a_neighbour_that_is_being_marked_cannot_be_claimed_before_that_is_committed(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    a = await store(database, "a")
    async with gate(database, APPEND, "b", end="COMMIT"):
        assert await queue.claim(9, LEASE) == []
    assert len(await queue.claim(9, LEASE)) == 2
    assert [near[1] for near in await neighbours_of(database, a)] == ["b"]


async def test_a_mark_makes_a_failed_neighbour_due_at_once(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    a = await store(database, "a")
    await queue.fail(await queue.claim(9, LEASE), "Broken", HOUR)
    await store(database, "b", 1)
    assert {one.item_id: one.attempts for one in await queue.claim(9, LEASE)}[a] == 1
    assert (await queue.state()).last_error is None


async def test_a_late_finish_does_not_clear_a_neighbour_that_was_handed_back(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await store(database, "a")
    late = await queue.claim(9, timedelta(0))
    await queue.fail(await queue.claim(9, LEASE), "Broken", timedelta(0))
    await store(database, "b", 1)
    await queue.finish(late)
    assert await queued(database) == "ab"


async def test_a_claimed_chunk_is_handed_back_when_it_was_marked_meanwhile(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await ingest(database, "a.py", "abc")
    claimed = await queue.claim(9, LEASE)
    await ingest(database, "a.py", "acb")
    await queue.finish(claimed)
    assert {one.item_id for one in await queue.claim(9, LEASE)} == {one.item_id for one in claimed}


async def test_a_chunk_that_is_being_marked_cannot_be_claimed_before_that_is_committed(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await ingest(database, "a.py", "abc")
    ids = await chunks(database)
    async with gate(database, ORDER, [ids[letter] for letter in "acb"], end="COMMIT"):
        assert await queue.claim(9, LEASE) == []
    assert len(await queue.claim(9, LEASE)) == 3


async def test_a_chunk_deleted_during_an_ingestion_queues_its_new_neighbours(
    database: Database,
) -> None:
    ids = await indexed(database, "abcdefghij")
    forgetting = await database.dedicated_connection()
    await forgetting.execute("BEGIN")
    order = [ids[letter] for letter in "bcdefghiaj"]
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, gate(database, ORDER, order, end="COMMIT") as ingesting:
            tasks.start_soon(forgetting.execute, "DELETE FROM agent_memories WHERE content = 'a'")
            await until_waiting(ingesting)
    await index_all(database)
    await forgetting.execute("COMMIT")
    assert await queued(database) == "?hij"
