"""Whatever comes, changes or goes in a session queues the turns beside it, and nobody else."""

from datetime import timedelta
from random import Random

import pytest

from memos_mcp.domain.memory import NewMemory
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.retrieval.context import REACH
from tests.postgres.marked import ANN, NOW, everybodys_neighbours, index_all, queued, run, unqueued
from tests.postgres.turns import store, talk

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


async def test_without_a_session_only_the_memory_itself_is_queued(database: Database) -> None:
    for minute, letter in enumerate("abc"):
        await store(database, letter, minute, session=None)
    await index_all(database)
    added = await store(database, "x", 1.5, session=None)
    assert await queued(database) == "x"
    await run(database, "DELETE FROM agent_memories WHERE id = $1", added)
    assert await queued(database) == "?"


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
        assert await unqueued(database, before) == set(), change
