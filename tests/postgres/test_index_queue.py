"""The queue of items to index: a set, filled by triggers."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from memos_mcp.domain.index_queue import Claim
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.tools import PostgresTools

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
NO_TIME = timedelta(0)
ANN = Scope("team", "ann")
EDIT = "UPDATE agent_memories SET tags = tags || 'more'::text"


async def run(database: Database, statement: str) -> None:
    async with database.everything.connection() as connection:
        await connection.execute(statement)


async def test_every_write_queues_its_item(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    memory = await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    tool = await PostgresTools(database).upsert("team", NewTool("mail", "Mail", "d", "http://x"), NOW)
    state = await queue.state()
    assert state.depth == {"memory": 1, "tool": 1, "task": 0}
    assert state.oldest is not None
    due = await queue.claim(10, LEASE)
    assert {(one.kind, one.item_id, one.attempts) for one in due} == {
        ("memory", memory.memory_id, 1),
        ("tool", tool.id, 1),
    }
    await queue.finish(due)
    assert (await queue.state()).oldest is None


async def test_a_write_that_is_rolled_back_queues_nothing(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.everything.transaction() as connection:
            await connection.execute("INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('n', 'a', 'x')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await insert_and_fail()
    assert await PostgresIndexQueue(database).claim(10, LEASE) == []


async def test_a_hundred_edits_are_one_queue_entry(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    for _ in range(100):
        await run(database, EDIT)
    assert len(await queue.claim(10, LEASE)) == 1


async def test_a_delete_is_queued(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    memory = await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    tool = await PostgresTools(database).upsert("team", NewTool("mail", "Mail", "d", "http://x"), NOW)
    await queue.finish(await queue.claim(10, LEASE))
    await run(database, "DELETE FROM agent_memories")
    await run(database, "DELETE FROM registered_tools")
    assert {one.item_id for one in await queue.claim(10, LEASE)} == {memory.memory_id, tool.id}


async def test_each_item_is_claimed_once(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add_many(ANN, [NewMemory(f"note {number}") for number in range(300)], NOW)
    claimed: list[Claim] = []

    async def drain() -> None:
        while due := await queue.claim(7, LEASE):
            claimed.extend(due)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(drain)
    assert len(claimed) == len({one.item_id for one in claimed}) == 300


async def test_an_edit_of_a_claimed_item_is_neither_lost_nor_claimed_twice(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    first = await queue.claim(10, LEASE)
    await run(database, EDIT)
    assert await queue.claim(10, LEASE) == []
    await queue.finish(first)
    second = await queue.claim(10, LEASE)
    assert [one.item_id for one in second] == [first[0].item_id]
    assert second[0].version > first[0].version
    await queue.finish(second)
    assert (await queue.state()).depth["memory"] == 0


async def test_an_edit_that_commits_while_finish_waits_for_it_is_handed_back_at_once(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    due = await queue.claim(10, LEASE)
    editor = await database.dedicated_connection()
    await editor.execute("BEGIN")
    await editor.execute(EDIT)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.finish, due)
        with anyio.fail_after(10):
            while not await editor.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await anyio.lowlevel.checkpoint()
        await editor.execute("COMMIT")
    assert len(await queue.claim(10, LEASE)) == 1


async def test_a_late_finish_does_not_clear_a_new_row_of_the_same_item(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    late = await queue.claim(10, NO_TIME)
    await queue.finish(await queue.claim(10, NO_TIME))
    await run(database, EDIT)
    await queue.finish(late)
    assert (await queue.state()).depth["memory"] == 1


async def test_an_item_with_an_expired_lease_is_claimed_again(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.claim(10, NO_TIME)
    assert [one.attempts for one in await queue.claim(10, LEASE)] == [2]


async def test_a_failure_is_reported_and_retried_later(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.fail(await queue.claim(10, LEASE), "the model is ill " * 100, timedelta(hours=1))
    state = await queue.state()
    assert state.last_error is not None
    assert state.last_error.startswith("the model is ill")
    assert len(state.last_error) <= 300
    assert await queue.claim(10, LEASE) == []
    await run(database, "UPDATE index_queue SET retry_at = now() - interval '1 second'")
    assert [one.attempts for one in await queue.claim(10, LEASE)] == [2]


async def test_the_state_counts_unclaimed_items_apart_from_claimed_and_failed_ones(database: Database) -> None:
    queue, memories = PostgresIndexQueue(database), PostgresMemories(database)
    await memories.add(ANN, NewMemory("failed"), NOW)
    await queue.fail(await queue.claim(10, LEASE), "poison", timedelta(hours=1))
    await memories.add(ANN, NewMemory("claimed"), NOW)
    await queue.claim(10, LEASE)
    await memories.add(ANN, NewMemory("new"), NOW)
    state = await queue.state()
    assert (state.depth["memory"], state.unclaimed) == (3, 1)
    await run(database, EDIT)
    assert (await queue.state()).unclaimed == 3


async def test_an_edit_ends_the_pause_after_a_failure(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.fail(await queue.claim(10, LEASE), "poison", timedelta(hours=1))
    await run(database, EDIT)
    assert [one.attempts for one in await queue.claim(10, LEASE)] == [1]
    assert (await queue.state()).last_error is None


async def test_an_edit_during_a_failing_attempt_is_due_at_once(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    due = await queue.claim(10, LEASE)
    await run(database, EDIT)
    await queue.fail(due, "poison", timedelta(hours=1))
    assert [one.attempts for one in await queue.claim(10, LEASE)] == [1]


async def test_a_released_claim_does_not_count_as_an_attempt(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.release(await queue.claim(10, LEASE))
    assert [one.attempts for one in await queue.claim(10, LEASE)] == [1]


async def test_reclaim_ends_the_leases_of_a_dead_process(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    added = await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.claim(10, LEASE)
    await queue.reclaim()
    assert [one.item_id for one in await queue.claim(10, LEASE)] == [added.memory_id]


async def test_queued_ids_returns_the_items_that_are_still_queued(database: Database) -> None:
    queue, memories = PostgresIndexQueue(database), PostgresMemories(database)
    done = (await memories.add(ANN, NewMemory("done"), NOW)).memory_id
    await queue.finish(await queue.claim(10, LEASE))
    claimed = (await memories.add(ANN, NewMemory("claimed"), NOW)).memory_id
    await queue.claim(10, LEASE)
    assert await queue.queued_ids("memory", [done, claimed]) == {claimed}
    assert await queue.queued_ids("tool", [done, claimed]) == set()


async def test_mark_all_queues_every_live_item_behind_new_writes(database: Database) -> None:
    queue, memories = PostgresIndexQueue(database), PostgresMemories(database)
    old = (await memories.add(ANN, NewMemory("old"), NOW)).memory_id
    kept = (await memories.add(ANN, NewMemory("kept", supersedes=old), NOW)).memory_id
    tool = await PostgresTools(database).upsert("team", NewTool("mail", "Mail", "d", "http://x"), NOW)
    await queue.finish(await queue.claim(10, LEASE))
    assert await queue.mark_all() == 2
    written = (await memories.add(ANN, NewMemory("written"), NOW)).memory_id
    assert [one.item_id for one in await queue.claim(1, LEASE)] == [written]
    assert {one.item_id for one in await queue.claim(10, LEASE)} == {kept, tool.id}


async def test_a_marked_item_is_due_again(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    added = await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    await queue.finish(await queue.claim(10, LEASE))
    await queue.mark("memory", [added.memory_id, added.memory_id])
    assert [one.item_id for one in await queue.claim(10, LEASE)] == [added.memory_id]


async def test_a_write_wakes_a_waiter(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await queue.wait(60)  # starts to listen
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 60)
            await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)


async def test_a_write_between_two_waits_is_not_missed(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await queue.wait(60)
    await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
    with anyio.fail_after(10):
        await queue.wait(60)


async def test_a_wait_without_a_notification_times_out(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await queue.wait(60)
    with anyio.fail_after(10):
        await queue.wait(0.01)


async def test_a_wait_that_times_out_before_it_listens_is_repaired_by_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await anyio.sleep_forever()

    queue = PostgresIndexQueue(database)
    with monkeypatch.context() as patch:
        patch.setattr("asyncpg.Connection.add_listener", never)
        await queue.wait(0.5)
    await queue.wait(60)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 60)
            await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)


async def test_waiting_continues_after_its_connection_was_cut(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await queue.wait(60)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 60)
            await run(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()",
            )
        await queue.wait(60)
        await PostgresMemories(database).add(ANN, NewMemory("tea"), NOW)
        await queue.wait(60)
