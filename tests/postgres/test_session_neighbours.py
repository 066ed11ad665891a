"""Neighbours in a session: who they are, and that whatever changes them queues the memory beside them too."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import anyio
import pytest

from memos_mcp.domain.memory import NEAR_CHARS, REACH, MemoryFilter, Near, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from tests.postgres.marked import everybodys_neighbours, queued, under_way

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=1)
ANN = Scope("team", "ann")
BOB = Scope("team", "bob")
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
APPEND = "INSERT INTO agent_memories (namespace, agent_id, session_id, content) VALUES ('team', 'ann', 's', $1)"


async def store(
    database: Database, content: str, minute: float = 0, scope: Scope = ANN, session: str | None = "s", **parts: Any
) -> UUID:
    """Store a memory that was said in this minute of the hour."""
    new = NewMemory(content, session_id=session, occurred_at=NOW + timedelta(minutes=minute), **parts)
    return (await PostgresMemories(database).add(scope, new, NOW)).memory_id


async def talk(database: Database, contents: str, session: str = "s") -> list[UUID]:
    """Store one memory for each letter, a minute apart; the index has all of them."""
    ids = [await store(database, letter, minute, session=session) for minute, letter in enumerate(contents)]
    await index_all(database)
    return ids


async def index_all(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    while due := await queue.claim(100, LEASE):
        await queue.finish(due)


async def run(database: Database, statement: str, *arguments: object) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


async def said_around(database: Database, memory_id: UUID) -> list[Near]:
    return (await PostgresMemories(database).around([memory_id])).get(memory_id, [])


async def until_waiting(connection: Connection) -> None:
    with anyio.fail_after(10):
        while not await connection.fetchval(WAITING):
            await anyio.lowlevel.checkpoint()


async def test_neighbours_come_by_step_and_no_further_than_the_reach(database: Database) -> None:
    ids = await talk(database, "abcdefg")
    around = await PostgresMemories(database).around(ids)
    assert around[ids[3]] == [Near(-2, "b"), Near(-1, "c"), Near(1, "e"), Near(2, "f")]
    assert around[ids[0]] == [Near(1, "b"), Near(2, "c")]
    assert around[ids[6]] == [Near(-2, "e"), Near(-1, "f")]
    assert max(near.step for near in around[ids[3]]) == REACH


async def test_memories_of_one_instant_are_beside_each_other_as_they_were_stored(database: Database) -> None:
    for letter in "abc":
        await store(database, letter)
    last = await store(database, "d")
    assert await said_around(database, last) == [(-2, "b"), (-1, "c")]


async def test_of_a_long_neighbour_the_nearest_part_is_given(database: Database) -> None:
    await store(database, "far " * NEAR_CHARS + "äöü", 0)
    middle = await store(database, "middle", 1)
    await store(database, "äöü" + " far" * NEAR_CHARS, 2)
    before, after = await said_around(database, middle)
    assert (len(before[1]), before[1][-7:]) == (NEAR_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (NEAR_CHARS, "äöü far")


async def test_neighbours_are_of_the_same_session_and_namespace_whoever_stored_them(database: Database) -> None:
    asked = await store(database, "asked", 5)
    await store(database, "bob", 4, BOB)
    await store(database, "other session", 5, session="t")
    await store(database, "no session", 5, session=None)
    await store(database, "other namespace", 5, Scope("else", "ann"))
    assert await said_around(database, asked) == [(-1, "bob")]


async def test_what_expires_or_is_superseded_or_has_no_session_has_no_neighbours_and_is_none(
    database: Database,
) -> None:
    old = await store(database, "old", 1)
    await store(database, "new", 9, supersedes=old)
    expiring = await store(database, "expiring", 2, expires_at=NOW + HOUR)
    alone = await store(database, "alone", 2, session=None)
    asked = await store(database, "asked", 3)
    assert await PostgresMemories(database).around([old, expiring, alone, asked]) == {asked: [Near(1, "new")]}


async def test_an_insertion_queues_as_many_on_each_side_as_the_reach_and_nobody_else(database: Database) -> None:
    letters = "abcdefgh"
    await talk(database, letters)
    await talk(database, "uvw", session="t")
    await store(database, "x", 3.5)
    assert await queued(database) == letters[4 - REACH : 4 + REACH] + "x"


async def test_neighbours_wait_until_fresh_writes_are_done_but_not_longer_than_they_did(database: Database) -> None:
    a, b = await talk(database, "ab")
    await run(database, "UPDATE agent_memories SET tags = '{more}' WHERE id = $1", a)
    c = await store(database, "c", 2)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT item_id, priority FROM index_queue")
    assert {row["item_id"]: row["priority"] for row in rows} == {a: 0, c: 0, b: 1}


async def test_a_deletion_queues_those_beside_it(database: Database) -> None:
    ids = await talk(database, "abcdefg")
    await run(database, "DELETE FROM agent_memories WHERE id = $1", ids[3])
    assert await queued(database) == "?bcef"


async def test_several_that_go_at_once_queue_those_that_are_left(database: Database) -> None:
    await talk(database, "abcdefgh")
    await run(database, "DELETE FROM agent_memories WHERE content IN ('c', 'd', 'e')")
    assert await queued(database) == "???abfg"


async def test_a_supersession_queues_those_beside_the_old_and_beside_the_new(database: Database) -> None:
    ids = await talk(database, "abcdefghi")
    await store(database, "x", 20, supersedes=ids[1])
    assert await queued(database) == "abcdhix"


async def test_a_changed_content_queues_those_beside_it_and_a_changed_tag_only_itself(database: Database) -> None:
    ids = await talk(database, "abcdefg")
    await run(database, "UPDATE agent_memories SET tags = '{more}', importance = 1 WHERE id = $1", ids[3])
    assert await queued(database) == "d"
    await run(database, "UPDATE agent_memories SET content = 'x' WHERE id = $1", ids[3])
    assert await queued(database) == "bcefx"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("session_id = 't', occurred_at = occurred_at - interval '90 s'", "bcdeftuvw"),
        ("session_id = NULL", "bcdef"),
        ("occurred_at = occurred_at + interval '150 s'", "bcdefgh"),
        ("occurred_at = occurred_at + interval '1 h'", "bcdefhi"),
        ("namespace = 'else'", "bcdef"),
        ("expires_at = now()", "bcdef"),
    ],
    ids=["another session", "no session", "a little later", "much later", "another namespace", "expires"],
)
async def test_a_move_queues_those_beside_the_old_place_and_beside_the_new(
    database: Database, change: str, expected: str
) -> None:
    ids = await talk(database, "abcdefghi")
    await talk(database, "tuvwxyz", session="t")
    await run(database, f"UPDATE agent_memories SET {change} WHERE id = $1", ids[3])
    assert await queued(database) == expected


async def test_what_joins_a_session_queues_those_beside_its_new_place(database: Database) -> None:
    await talk(database, "abcd")
    await store(database, "x", 1.5, session=None)
    await store(database, "y", 2.5, expires_at=NOW + HOUR)
    await index_all(database)
    await run(database, "UPDATE agent_memories SET session_id = 's' WHERE content = 'x'")
    assert await queued(database) == "abcdx"
    await index_all(database)
    await run(database, "UPDATE agent_memories SET expires_at = NULL WHERE content = 'y'")
    assert await queued(database) == "cdxy"


async def test_an_expired_memory_that_is_stored_again_for_good_queues_those_beside_it(database: Database) -> None:
    await talk(database, "abcd")
    await store(database, "x", 1.5, expires_at=NOW - HOUR)
    await index_all(database)
    await store(database, "x", 2.5)
    assert await queued(database) == "bcdx"


async def test_what_expires_comes_changes_and_goes_without_queueing_anybody_else(database: Database) -> None:
    await talk(database, "abcd")
    expiring = await store(database, "x", 1.5, expires_at=NOW + HOUR)
    await run(database, "UPDATE agent_memories SET content = 'y', expires_at = now() WHERE id = $1", expiring)
    assert await queued(database) == "y"
    await run(database, "DELETE FROM agent_memories WHERE id = $1", expiring)
    assert await queued(database) == "?"


CHANGES = (
    """
    INSERT INTO agent_memories (namespace, agent_id, session_id, content, occurred_at)
    VALUES ('team', 'ann', {session}, '{content}', {moment})
    """,
    "UPDATE agent_memories SET occurred_at = {moment} WHERE {some}",
    "UPDATE agent_memories SET session_id = {session} WHERE {some}",
    "UPDATE agent_memories SET content = '{content}' || sequence WHERE {some}",
    "UPDATE agent_memories SET expires_at = CASE WHEN expires_at IS NULL THEN now() END WHERE {some}",
    "UPDATE agent_memories SET superseded_by = CASE WHEN superseded_by IS NULL THEN id END WHERE {some}",
    "DELETE FROM agent_memories WHERE {some}",
)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_changes_all_whose_neighbours_are_others_now_are_queued(database: Database, seed: int) -> None:
    dice = Random(seed)
    for step in range(80):
        await index_all(database)
        before = await everybodys_neighbours(database)
        change = CHANGES[0] if len(before) < 8 else dice.choice(CHANGES)
        parts = {
            "session": dice.choice(("'s'", "'s'", "'t'", "NULL")),
            "moment": f"timestamptz '2026-05-01' + interval '{dice.randrange(12)} min'",
            "content": f"step {step} ",
            "some": f"id IN (SELECT id FROM agent_memories ORDER BY md5(content || {step}) LIMIT {dice.choice('113')})",
        }
        await run(database, change.format(**parts))
        after = await everybodys_neighbours(database)
        others = {one for one in before.keys() | after.keys() if before.get(one, []) != after.get(one, [])}
        assert await PostgresIndexQueue(database).waiting("memory", sorted(others)) == others, change


async def test_without_a_session_only_the_memory_itself_is_queued(database: Database) -> None:
    for minute, letter in enumerate("abc"):
        await store(database, letter, minute, session=None)
    await index_all(database)
    added = await store(database, "x", 1.5, session=None)
    assert await queued(database) == "x"
    await run(database, "DELETE FROM agent_memories WHERE id = $1", added)
    assert await queued(database) == "?"


async def test_of_two_that_append_at_once_the_second_queues_the_first(database: Database) -> None:
    async with anyio.create_task_group() as tasks, under_way(database, APPEND, "a") as first:
        tasks.start_soon(run, database, APPEND, "b")
        await until_waiting(first)
        assert await queued(database) == ""
    queue = PostgresIndexQueue(database)
    assert await queued(database) == "ab"
    contents = {
        memory.memory_id: memory.content
        for memory in await PostgresMemories(database).newest("team", MemoryFilter(), None, 9, NOW)
    }
    around = await PostgresMemories(database).around([one.item_id for one in await queue.claim(9, LEASE)])
    assert {contents[one]: [near.content for near in beside] for one, beside in around.items()} == {
        "a": ["b"],
        "b": ["a"],
    }


async def test_other_sessions_do_not_wait_for_an_append(database: Database) -> None:
    async with under_way(database, APPEND, "a"):
        with anyio.fail_after(10):
            await store(database, "b", session="t")
            await store(database, "c", session=None)
            await store(database, "d", expires_at=NOW + HOUR)


async def test_batches_of_the_same_sessions_in_opposite_order_do_not_lock_each_other_out(database: Database) -> None:
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
    async with under_way(database, APPEND, "b"):
        assert await queue.claim(9, LEASE) == []
    assert len(await queue.claim(9, LEASE)) == 2
    assert [near[1] for near in await said_around(database, a)] == ["b"]


async def test_a_neighbour_that_failed_is_tried_again_at_once(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    a = await store(database, "a")
    await queue.fail(await queue.claim(9, LEASE), "Broken", HOUR)
    await store(database, "b", 1)
    assert {one.item_id: one.attempts for one in await queue.claim(9, LEASE)}[a] == 1
    assert (await queue.state()).last_error is None


async def test_who_finishes_late_does_not_clear_a_neighbour_that_another_gave_back(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await store(database, "a")
    late = await queue.claim(9, timedelta(0))
    await queue.fail(await queue.claim(9, LEASE), "Broken", timedelta(0))
    await store(database, "b", 1)
    await queue.finish(late)
    assert await queued(database) == "ab"


async def test_a_bulk_import_queues_each_memory_once_and_leaves_its_row_as_it_is(database: Database) -> None:
    new = [NewMemory(f"turn {turn}", session_id=f"s{turn // 20}") for turn in range(200)]
    added = await PostgresMemories(database).add_many(ANN, new, NOW)
    async with database.connection() as connection:
        before = await connection.fetch("SELECT item_id, version FROM index_queue ORDER BY item_id")
    assert len(before) == len({one.memory_id for one in added}) == 200
    await PostgresMemories(database).add_many(ANN, [NewMemory("one more", session_id="s3")], NOW + HOUR)
    async with database.connection() as connection:
        after = await connection.fetch("SELECT item_id, version FROM index_queue ORDER BY item_id")
    assert len(after) == 201
    assert {row["item_id"]: row["version"] for row in before}.items() <= {
        row["item_id"]: row["version"] for row in after
    }.items()
