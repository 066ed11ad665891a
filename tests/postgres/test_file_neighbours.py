"""Neighbours in a file: who they are, and that whatever changes them queues the chunks beside them too."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import anyio
import pytest

from memos_mcp.domain.document import StoredFile
from memos_mcp.domain.memory import NEAR_CHARS, REACH, Near, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from tests.postgres.marked import everybodys_neighbours, queued, under_way

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
ANN = Scope("team", "ann")
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
ORDER = "UPDATE ingested_files SET memory_ids = $1 WHERE path = 'a.py'"
LETTERS = "abcdefghijkl"
BY_HAND = (
    "UPDATE agent_memories SET expires_at = CASE WHEN expires_at IS NULL THEN now() END WHERE content = $1",
    "UPDATE agent_memories SET superseded_by = id WHERE content = $1 AND superseded_by IS NULL",
    "UPDATE agent_memories SET session_id = id::text WHERE content = $1",
    "DELETE FROM agent_memories WHERE content = $1",
)


def file(path: str, contents: Sequence[str]) -> StoredFile:
    """Return a file with a chunk of each of these contents; where they stand in it is not told."""
    return StoredFile(path, b"1", [NewMemory(content, kind="document") for content in contents])


async def take_in(database: Database, path: str, contents: Sequence[str], source: str = "app") -> None:
    await PostgresSources(database).replace(ANN, source, [file(path, contents)], NOW)


async def indexed(database: Database, contents: Sequence[str]) -> dict[str, UUID]:
    """Take in a file that the index has; return its chunks by their contents."""
    await take_in(database, "a.py", contents)
    await index_all(database)
    return await chunks(database)


async def store(database: Database, content: str, supersedes: UUID | None = None) -> UUID:
    new = NewMemory(content, supersedes=supersedes)
    return (await PostgresMemories(database).add(ANN, new, NOW)).memory_id


async def index_all(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    while due := await queue.claim(100, LEASE):
        await queue.finish(due)


async def run(database: Database, statement: str, *arguments: object) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


async def chunks(database: Database) -> dict[str, UUID]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT content, id FROM agent_memories")
    return {row["content"]: row["id"] for row in rows}


async def around(database: Database, content: str) -> list[Near]:
    memory_id = (await chunks(database))[content]
    return (await PostgresMemories(database).around([memory_id])).get(memory_id, [])


async def test_neighbours_come_by_step_and_no_further_than_the_reach(database: Database) -> None:
    ids = await indexed(database, "abcdefg")
    near = await PostgresMemories(database).around(list(ids.values()))
    assert near[ids["d"]] == [Near(-2, "b"), Near(-1, "c"), Near(1, "e"), Near(2, "f")]
    assert near[ids["a"]] == [Near(1, "b"), Near(2, "c")]
    assert near[ids["g"]] == [Near(-2, "e"), Near(-1, "f")]
    assert max(one.step for one in near[ids["d"]]) == REACH


async def test_neighbours_are_those_of_the_file_as_it_is_now(database: Database) -> None:
    await indexed(database, "abcd")
    await take_in(database, "b.py", "xyz")
    await take_in(database, "a.py", "dbfa")
    assert await around(database, "b") == [(-1, "d"), (1, "f"), (2, "a")]
    await PostgresSources(database).remove(ANN, "app", ["b.py"])
    await take_in(database, "a.py", "b")
    assert await everybodys_neighbours(database) == {}


async def test_of_a_long_neighbour_the_nearest_part_is_given(database: Database) -> None:
    far = "far " * NEAR_CHARS
    await indexed(database, [far + "äöü", "middle", "äöü " + far])
    before, after = await around(database, "middle")
    assert (len(before[1]), before[1][-7:]) == (NEAR_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (NEAR_CHARS, "äöü far")


async def test_of_several_files_the_first_one_counts(database: Database) -> None:
    for source, path, contents in (("lib", "a.py", "1x2"), ("app", "z.py", "3x4"), ("app", "b.py", "5x6")):
        await take_in(database, path, contents, source)
    assert await around(database, "x") == [(-1, "5"), (1, "6")]
    assert await around(database, "1") == [(1, "x"), (2, "2")]
    await PostgresSources(database).remove(ANN, "app", ["b.py", "z.py"])
    assert await around(database, "x") == [(-1, "1"), (1, "2")]


async def test_files_and_chunks_of_other_namespaces_do_not_count(database: Database) -> None:
    ids = await indexed(database, "abc")
    await run(database, "UPDATE agent_memories SET namespace = 'else' WHERE content = 'a'")
    copy = "INSERT INTO ingested_files SELECT 'else', agent_id, '', path, digest, $1, now() FROM ingested_files"
    await run(database, copy, [ids["c"], ids["b"], ids["a"]])
    assert await around(database, "b") == [(1, "c")]
    assert await around(database, "a") == []
    await index_all(database)
    await run(database, "UPDATE ingested_files SET memory_ids = $1 WHERE path = 'a.py' AND source = 'app'", [ids["b"]])
    assert "b" in await queued(database)


@pytest.mark.parametrize("change", ["superseded_by = id", "expires_at = now() + interval '1 h'", "session_id = 's'"])
async def test_what_is_superseded_expires_or_was_said_keeps_its_place_but_lends_no_words(
    database: Database, change: str
) -> None:
    await indexed(database, "abcde")
    await run(database, f"UPDATE agent_memories SET {change} WHERE content = 'c'")
    assert await around(database, "c") == []
    assert await around(database, "b") == [(-1, "a"), (2, "d")]


async def test_turns_and_chunks_can_be_asked_for_together(database: Database) -> None:
    turns = [NewMemory(letter, session_id="s") for letter in "xy"]
    added = await PostgresMemories(database).add_many(ANN, turns, NOW)
    ids = await indexed(database, "ab")
    near = await PostgresMemories(database).around([added[0].memory_id, ids["a"]])
    assert near == {added[0].memory_id: [(1, "y")], ids["a"]: [(1, "b")]}


async def test_a_first_run_queues_each_chunk_once_and_leaves_its_row_as_it_is(database: Database) -> None:
    await PostgresSources(database).replace(ANN, "app", [file("a.py", "abcdefgh"), file("b.py", "ijkxa")], NOW)
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT version, priority, xmax::text::bigint AS locked FROM index_queue")
        drawn = await connection.fetchval("SELECT last_value FROM index_queue_version")
    assert sorted(row["version"] for row in rows) == list(range(1, drawn + 1)) == list(range(1, 13))
    assert {(row["priority"], row["locked"]) for row in rows} == {(1, 0)}


async def test_chunks_that_wait_already_keep_their_place_in_the_queue(database: Database) -> None:
    await take_in(database, "a.py", "abc")
    async with database.connection() as connection:
        before = await connection.fetch("SELECT * FROM index_queue ORDER BY item_id")
    await take_in(database, "a.py", "cba")
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
async def test_a_changed_file_queues_the_chunks_that_others_are_around_now_and_nobody_else(
    database: Database, after: str, expected: str
) -> None:
    await indexed(database, "abcdefghij")
    await take_in(database, "a.py", after)
    assert await queued(database) == "".join(sorted(expected))


async def test_neighbours_wait_until_fresh_writes_are_done_but_not_longer_than_they_did(database: Database) -> None:
    ids = await indexed(database, "abc")
    await store(database, "a")
    await run(database, "UPDATE agent_memories SET tags = '{more}' WHERE content = 'a'")
    await take_in(database, "a.py", "bac")
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT item_id, priority FROM index_queue")
    assert {row["item_id"]: row["priority"] for row in rows} == {ids["a"]: 0, ids["b"]: 1, ids["c"]: 1}


async def test_what_outlives_its_file_is_queued_when_the_file_goes(database: Database) -> None:
    await indexed(database, "abc")
    await store(database, "b")
    await PostgresSources(database).remove(ANN, "app", ["a.py"])
    assert await queued(database) == "??b"


async def test_a_chunk_that_leaves_one_file_and_stays_in_another_is_queued(database: Database) -> None:
    await take_in(database, "b.py", "uxv")
    await indexed(database, "axc")
    await take_in(database, "a.py", "ac")
    assert await queued(database) == "acx"
    assert await around(database, "x") == [(-1, "u"), (1, "v")]


async def test_a_change_beside_a_chunk_in_a_later_file_does_not_queue_it(database: Database) -> None:
    await take_in(database, "b.py", "uxv")
    await indexed(database, "axc")
    await take_in(database, "b.py", "wxv")
    assert await queued(database) == "?vw"
    await index_all(database)
    await PostgresSources(database).remove(ANN, "app", ["b.py"])
    assert await queued(database) == "??"


async def test_a_file_that_is_renamed_in_the_record_queues_all_that_have_other_neighbours(database: Database) -> None:
    await take_in(database, "b.py", "uxv")
    await indexed(database, "axc")
    await run(database, "UPDATE ingested_files SET path = 'z.py' WHERE path = 'a.py'")
    assert await around(database, "x") == [(-1, "u"), (1, "v")]
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
async def test_what_is_changed_or_forgotten_by_hand_queues_the_chunks_beside_it(
    database: Database, change: str, expected: str
) -> None:
    await indexed(database, "abcdefgh")
    await run(database, change)
    assert await queued(database) == expected


@pytest.mark.parametrize("back", ["expires_at", "superseded_by", "session_id"])
async def test_what_counts_again_queues_the_chunks_beside_it(database: Database, back: str) -> None:
    await indexed(database, "abcdefgh")
    value = {"expires_at": "now()", "superseded_by": "id", "session_id": "'s'"}[back]
    await run(database, f"UPDATE agent_memories SET {back} = {value} WHERE content = 'd'")
    await index_all(database)
    await run(database, f"UPDATE agent_memories SET {back} = NULL WHERE content = 'd'")
    assert await queued(database) == "bcdef"


async def test_a_claimed_chunk_is_handed_back_when_it_was_marked_meanwhile(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await take_in(database, "a.py", "abc")
    claimed = await queue.claim(9, LEASE)
    await take_in(database, "a.py", "acb")
    await queue.finish(claimed)
    assert {one.item_id for one in await queue.claim(9, LEASE)} == {one.item_id for one in claimed}


async def test_a_chunk_that_is_being_marked_cannot_be_claimed_before_that_is_committed(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await take_in(database, "a.py", "abc")
    ids = await chunks(database)
    async with under_way(database, ORDER, [ids[letter] for letter in "acb"]):
        assert await queue.claim(9, LEASE) == []
    assert len(await queue.claim(9, LEASE)) == 3


async def test_a_new_order_alone_is_told_to_whoever_listens(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    ids = await indexed(database, "abc")
    await queue.wait(60)  # begins to listen
    await run(database, ORDER, [ids[letter] for letter in "acb"])
    with anyio.fail_after(10):
        await queue.wait(60)


async def test_what_is_forgotten_while_its_file_is_taken_in_queues_those_beside_its_new_place(
    database: Database,
) -> None:
    ids = await indexed(database, "abcdefghij")
    forgetting = await database.listener()
    await forgetting.execute("BEGIN")
    order = [ids[letter] for letter in "bcdefghiaj"]
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, under_way(database, ORDER, order) as taking_in:
            tasks.start_soon(forgetting.execute, "DELETE FROM agent_memories WHERE content = 'a'")
            while not await taking_in.fetchval(WAITING):
                await anyio.lowlevel.checkpoint()
    await index_all(database)
    await forgetting.execute("COMMIT")
    assert await queued(database) == "?hij"


async def change_something(database: Database, dice: Random) -> str:
    """Do what a run on a source does, or a hand; return what it was."""
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
async def test_whatever_changes_all_whose_neighbours_are_others_now_are_queued(database: Database, seed: int) -> None:
    dice = Random(seed)
    for _ in range(80):
        await index_all(database)
        before = await everybodys_neighbours(database)
        change = await change_something(database, dice)
        after = await everybodys_neighbours(database)
        others = {one for one in before.keys() | after.keys() if before.get(one, []) != after.get(one, [])}
        assert await PostgresIndexQueue(database).waiting("memory", sorted(others)) == others, change
