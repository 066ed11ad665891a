"""A change of the neighbours of chunks, by ingestion or by hand, queues these chunks and no others."""

from random import Random

import anyio
import pytest

from memos_mcp.domain.memory import NewMemory
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from tests.postgres.file_chunks import ORDER, chunk_neighbours, file, indexed, ingest
from tests.postgres.queue_marks import ANN, NOW, all_neighbours, index_all, missing_marks, queued, run

pytestmark = pytest.mark.anyio

LETTERS = "abcdefghijkl"
BY_HAND = (
    "UPDATE agent_memories SET expires_at = CASE WHEN expires_at IS NULL THEN now() END WHERE content = $1",
    "UPDATE agent_memories SET superseded_by = id WHERE content = $1 AND superseded_by IS NULL",
    "UPDATE agent_memories SET session_id = id::text WHERE content = $1",
    "DELETE FROM agent_memories WHERE content = $1",
)


async def store(database: Database, content: str) -> None:
    await PostgresMemories(database).add(ANN, NewMemory(content), NOW)


async def test_a_first_run_queues_each_chunk_once_and_does_not_touch_its_row_again(database: Database) -> None:
    await PostgresSources(database).replace(ANN, "app", [file("a.py", "abcdefgh"), file("b.py", "ijkxa")], NOW)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT version, priority, xmax::text::bigint AS locked FROM index_queue")
        drawn = await connection.fetchval("SELECT last_value FROM index_queue_version")
    assert sorted(row["version"] for row in rows) == list(range(1, drawn + 1)) == list(range(1, 13))
    assert {(row["priority"], row["locked"]) for row in rows} == {(1, 0)}


async def test_queued_chunks_keep_their_position_in_the_queue(database: Database) -> None:
    await ingest(database, "a.py", "abc")
    async with database.connection() as connection:
        before = await connection.fetch("SELECT * FROM index_queue ORDER BY item_id")
    await ingest(database, "a.py", "cba")
    async with database.connection() as connection:
        assert await connection.fetch("SELECT * FROM index_queue ORDER BY item_id") == before


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("abcdXfghij", "?cdfgX"),
        ("abcdeXfghij", "defgX"),
        ("abcdfghij", "?cdfg"),
        ("Xabcdefghij", "abX"),
        ("abcdefghijX", "Xij"),
        ("bcdefghij", "?bc"),
        ("abdcefghij", "abcdef"),
        ("efghijabcd", "abcdefghij"[2:6] + "abij"),
        ("abcdefghij", ""),
    ],
)  # fmt: skip
async def test_a_changed_file_queues_only_the_chunks_with_new_neighbours(
    database: Database, after: str, expected: str
) -> None:
    await indexed(database, "abcdefghij")
    await ingest(database, "a.py", after)
    assert await queued(database) == "".join(sorted(expected))


async def test_neighbours_are_queued_behind_fresh_writes_but_never_lowered(database: Database) -> None:
    ids = await indexed(database, "abc")
    await store(database, "a")
    await run(database, "UPDATE agent_memories SET tags = '{more}' WHERE content = 'a'")
    await ingest(database, "a.py", "bac")
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT item_id, priority FROM index_queue")
    assert {row["item_id"]: row["priority"] for row in rows} == {ids["a"]: 0, ids["b"]: 1, ids["c"]: 1}


async def test_a_memory_that_outlives_its_file_is_queued_when_the_file_is_removed(database: Database) -> None:
    await indexed(database, "abc")
    await store(database, "b")
    await PostgresSources(database).remove(ANN, "app", ["a.py"])
    assert await queued(database) == "??b"


async def test_a_chunk_removed_from_one_file_of_two_is_queued(database: Database) -> None:
    await ingest(database, "b.py", "uxv")
    await indexed(database, "axc")
    await ingest(database, "a.py", "ac")
    assert await queued(database) == "acx"
    assert await chunk_neighbours(database, "x") == [(-1, "u"), (1, "v")]


async def test_a_change_next_to_a_chunk_in_a_later_file_does_not_queue_it(database: Database) -> None:
    await ingest(database, "b.py", "uxv")
    await indexed(database, "axc")
    await ingest(database, "b.py", "wxv")
    assert await queued(database) == "?vw"
    await index_all(database)
    await PostgresSources(database).remove(ANN, "app", ["b.py"])
    assert await queued(database) == "??"


async def test_a_renamed_file_queues_all_chunks_with_new_neighbours(database: Database) -> None:
    await ingest(database, "b.py", "uxv")
    await indexed(database, "axc")
    await run(database, "UPDATE ingested_files SET path = 'z.py' WHERE path = 'a.py'")
    assert await chunk_neighbours(database, "x") == [(-1, "u"), (1, "v")]
    assert set("x") <= set(await queued(database))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE agent_memories SET content = 'x' WHERE content = 'd'", "bcefx"),
        ("UPDATE agent_memories SET expires_at = now() WHERE content = 'd'", "bcdef"),
        ("UPDATE agent_memories SET superseded_by = id WHERE content = 'd'", "bcdef"),
        ("UPDATE agent_memories SET session_id = 's' WHERE content = 'd'", "bcdef"),
        ("UPDATE agent_memories SET namespace = 'else' WHERE content = 'd'", "bcdef"),
        ("DELETE FROM agent_memories WHERE content = 'd'", "?bcef"),
        ("DELETE FROM agent_memories WHERE content IN ('d', 'e')", "??bcfg"),
        ("UPDATE agent_memories SET tags = '{more}', ingested = false WHERE content = 'd'", "d"),
    ],
)
async def test_a_chunk_changed_or_deleted_by_hand_queues_its_neighbours(
    database: Database, change: str, expected: str
) -> None:
    await indexed(database, "abcdefgh")
    await run(database, change)
    assert await queued(database) == expected


@pytest.mark.parametrize("back", ["expires_at", "superseded_by", "session_id"])
async def test_a_chunk_that_becomes_a_neighbour_again_queues_its_neighbours(database: Database, back: str) -> None:
    await indexed(database, "abcdefgh")
    value = {"expires_at": "now()", "superseded_by": "id", "session_id": "'s'"}[back]
    await run(database, f"UPDATE agent_memories SET {back} = {value} WHERE content = 'd'")
    await index_all(database)
    await run(database, f"UPDATE agent_memories SET {back} = NULL WHERE content = 'd'")
    assert await queued(database) == "bcdef"


async def test_a_new_order_alone_sends_a_notification(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    ids = await indexed(database, "abc")
    await queue.wait(60)  # begins to listen
    await run(database, ORDER, [ids[letter] for letter in "acb"])
    with anyio.fail_after(10):
        await queue.wait(60)


async def change_something(database: Database, dice: Random) -> str:
    """Change files as ingestion does, or memories by hand; return the change."""
    port, source = PostgresSources(database), dice.choice(("app", "lib"))
    paths = dice.sample(("a.py", "b.py", "c.py"), dice.choice((1, 2)))
    match change := dice.choice(("replace", "replace", "replace", "remove", "store", *BY_HAND)):
        case "replace":
            await port.replace(
                ANN, source, [file(path, dice.sample(LETTERS, dice.randrange(9))) for path in paths], NOW
            )
        case "remove":
            await port.remove(ANN, source, paths)
        case "store":
            await store(database, dice.choice(LETTERS))
        case statement:
            await run(database, statement, dice.choice(LETTERS))
    return change


@pytest.mark.parametrize("seed", range(4))
async def test_random_changes_queue_every_memory_with_new_neighbours(database: Database, seed: int) -> None:
    dice = Random(seed)
    for _ in range(80):
        await index_all(database)
        before = await all_neighbours(database)
        change = await change_something(database, dice)
        assert await missing_marks(database, before) == set(), change
