"""A memory that is inserted, changed or deleted in a session queues its neighbours and no others."""

from datetime import timedelta
from random import Random

import pytest

from memos_mcp.domain.memory import NewMemory
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.retrieval.context import REACH
from tests.postgres.messages import store, store_session
from tests.postgres.queue_marks import ANN, NOW, all_neighbours, index_all, missing_marks, queued, run

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
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


async def test_an_insertion_queues_only_the_neighbours_within_the_reach(database: Database) -> None:
    letters = "abcdefgh"
    await store_session(database, letters)
    await store_session(database, "uvw", session="t")
    await store(database, "x", 3.5)
    assert await queued(database) == letters[4 - REACH : 4 + REACH] + "x"


async def test_neighbours_are_queued_behind_fresh_writes_but_never_lowered(database: Database) -> None:
    a, b = await store_session(database, "ab")
    await run(database, "UPDATE agent_memories SET tags = '{more}' WHERE id = $1", a)
    c = await store(database, "c", 2)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT item_id, priority FROM index_queue")
    assert {row["item_id"]: row["priority"] for row in rows} == {a: 0, c: 0, b: 1}


async def test_a_deletion_queues_the_neighbours(database: Database) -> None:
    ids = await store_session(database, "abcdefg")
    await run(database, "DELETE FROM agent_memories WHERE id = $1", ids[3])
    assert await queued(database) == "?bcef"


async def test_a_deletion_of_several_queues_the_remaining_neighbours(database: Database) -> None:
    await store_session(database, "abcdefgh")
    await run(database, "DELETE FROM agent_memories WHERE content IN ('c', 'd', 'e')")
    assert await queued(database) == "???abfg"


async def test_a_supersession_queues_the_neighbours_of_the_old_and_the_new(database: Database) -> None:
    ids = await store_session(database, "abcdefghi")
    await store(database, "x", 20, supersedes=ids[1])
    assert await queued(database) == "abcdhix"


async def test_a_changed_content_queues_the_neighbours_and_a_changed_tag_does_not(database: Database) -> None:
    ids = await store_session(database, "abcdefg")
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
async def test_a_move_queues_the_neighbours_of_the_old_position_and_the_new(
    database: Database, change: str, expected: str
) -> None:
    ids = await store_session(database, "abcdefghi")
    await store_session(database, "tuvwxyz", session="t")
    await run(database, f"UPDATE agent_memories SET {change} WHERE id = $1", ids[3])
    assert await queued(database) == expected


async def test_a_memory_that_joins_a_session_queues_its_new_neighbours(database: Database) -> None:
    await store_session(database, "abcd")
    await store(database, "x", 1.5, session=None)
    await store(database, "y", 2.5, expires_at=NOW + HOUR)
    await index_all(database)
    await run(database, "UPDATE agent_memories SET session_id = 's' WHERE content = 'x'")
    assert await queued(database) == "abcdx"
    await index_all(database)
    await run(database, "UPDATE agent_memories SET expires_at = NULL WHERE content = 'y'")
    assert await queued(database) == "cdxy"


async def test_an_expired_memory_that_is_stored_again_without_expiry_queues_its_neighbours(database: Database) -> None:
    await store_session(database, "abcd")
    await store(database, "x", 1.5, expires_at=NOW - HOUR)
    await index_all(database)
    await store(database, "x", 2.5)
    assert await queued(database) == "bcdx"


async def test_an_expiring_memory_never_queues_others(database: Database) -> None:
    await store_session(database, "abcd")
    expiring = await store(database, "x", 1.5, expires_at=NOW + HOUR)
    await run(database, "UPDATE agent_memories SET content = 'y', expires_at = now() WHERE id = $1", expiring)
    assert await queued(database) == "y"
    await run(database, "DELETE FROM agent_memories WHERE id = $1", expiring)
    assert await queued(database) == "?"


async def test_a_memory_without_a_session_queues_only_itself(database: Database) -> None:
    for minute, letter in enumerate("abc"):
        await store(database, letter, minute, session=None)
    await index_all(database)
    added = await store(database, "x", 1.5, session=None)
    assert await queued(database) == "x"
    await run(database, "DELETE FROM agent_memories WHERE id = $1", added)
    assert await queued(database) == "?"


async def test_a_bulk_import_queues_each_memory_once_and_does_not_touch_its_row_again(database: Database) -> None:
    new = [NewMemory(f"message {number}", session_id=f"s{number // 20}") for number in range(200)]
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


@pytest.mark.parametrize("seed", range(3))
async def test_random_changes_queue_every_memory_with_new_neighbours(database: Database, seed: int) -> None:
    dice = Random(seed)
    for step in range(80):
        await index_all(database)
        before = await all_neighbours(database)
        change = CHANGES[0] if len(before) < 8 else dice.choice(CHANGES)
        parts = {
            "session": dice.choice(("'s'", "'s'", "'t'", "NULL")),
            "moment": f"timestamptz '2026-05-01' + interval '{dice.randrange(12)} min'",
            "content": f"step {step} ",
            "some": f"id IN (SELECT id FROM agent_memories ORDER BY md5(content || {step}) LIMIT {dice.choice('113')})",
        }
        await run(database, change.format(**parts))
        assert await missing_marks(database, before) == set(), change
