"""The neighbours of a message in its session, and of a chunk in its file."""

from datetime import timedelta

import pytest

from memos_mcp.domain.index_rows import Neighbour
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.retrieval.context import MAX_CHARS, REACH
from tests.postgres.file_chunks import chunk_neighbours, indexed, ingest
from tests.postgres.messages import neighbours_of, store, store_session
from tests.postgres.queue_marks import ANN, NOW, all_neighbours, index_all, neighbours, queued, run

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
BOB = Scope("team", "bob")


async def test_session_neighbours_are_sorted_by_offset_within_the_reach(database: Database) -> None:
    ids = await store_session(database, "abcdefg")
    near = await neighbours(database, ids)
    assert near[ids[3]] == [Neighbour(-2, "b"), Neighbour(-1, "c"), Neighbour(1, "e"), Neighbour(2, "f")]
    assert near[ids[0]] == [Neighbour(1, "b"), Neighbour(2, "c")]
    assert near[ids[6]] == [Neighbour(-2, "e"), Neighbour(-1, "f")]
    assert max(one.offset for one in near[ids[3]]) == REACH


async def test_memories_of_one_instant_are_neighbours_in_insertion_order(database: Database) -> None:
    for letter in "abc":
        await store(database, letter)
    last = await store(database, "d")
    assert await neighbours_of(database, last) == [(-2, "b"), (-1, "c")]


async def test_a_long_session_neighbour_is_cut_to_its_nearest_part(database: Database) -> None:
    await store(database, "far " * MAX_CHARS + "äöü", 0)
    middle = await store(database, "middle", 1)
    await store(database, "äöü" + " far" * MAX_CHARS, 2)
    before, after = await neighbours_of(database, middle)
    assert (len(before[1]), before[1][-7:]) == (MAX_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (MAX_CHARS, "äöü far")


async def test_neighbours_share_session_and_namespace_but_not_necessarily_the_agent(database: Database) -> None:
    asked = await store(database, "asked", 5)
    await store(database, "bob", 4, BOB)
    await store(database, "other session", 5, session="t")
    await store(database, "no session", 5, session=None)
    await store(database, "other namespace", 5, Scope("else", "ann"))
    assert await neighbours_of(database, asked) == [(-1, "bob")]


async def test_expiring_superseded_and_sessionless_memories_have_no_neighbours_and_are_none(
    database: Database,
) -> None:
    old = await store(database, "old", 1)
    await store(database, "new", 9, supersedes=old)
    expiring = await store(database, "expiring", 2, expires_at=NOW + HOUR)
    alone = await store(database, "alone", 2, session=None)
    asked = await store(database, "asked", 3)
    assert await neighbours(database, [old, expiring, alone, asked]) == {asked: [Neighbour(1, "new")]}


async def test_file_neighbours_are_sorted_by_offset_within_the_reach(database: Database) -> None:
    ids = await indexed(database, "abcdefg")
    near = await neighbours(database, list(ids.values()))
    assert near[ids["d"]] == [Neighbour(-2, "b"), Neighbour(-1, "c"), Neighbour(1, "e"), Neighbour(2, "f")]
    assert near[ids["a"]] == [Neighbour(1, "b"), Neighbour(2, "c")]
    assert near[ids["g"]] == [Neighbour(-2, "e"), Neighbour(-1, "f")]
    assert max(one.offset for one in near[ids["d"]]) == REACH


async def test_file_neighbours_follow_the_current_file(database: Database) -> None:
    await indexed(database, "abcd")
    await ingest(database, "b.py", "xyz")
    await ingest(database, "a.py", "dbfa")
    assert await chunk_neighbours(database, "b") == [(-1, "d"), (1, "f"), (2, "a")]
    await PostgresSources(database).remove(ANN, "app", ["b.py"])
    await ingest(database, "a.py", "b")
    assert await all_neighbours(database) == {}


async def test_a_long_file_neighbour_is_cut_to_its_nearest_part(database: Database) -> None:
    far = "far " * MAX_CHARS
    await indexed(database, [far + "äöü", "middle", "äöü " + far])
    before, after = await chunk_neighbours(database, "middle")
    assert (len(before[1]), before[1][-7:]) == (MAX_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (MAX_CHARS, "äöü far")


async def test_the_first_of_several_files_determines_the_neighbours(database: Database) -> None:
    for source, path, contents in (("lib", "a.py", "1x2"), ("app", "z.py", "3x4"), ("app", "b.py", "5x6")):
        await ingest(database, path, contents, source)
    assert await chunk_neighbours(database, "x") == [(-1, "5"), (1, "6")]
    assert await chunk_neighbours(database, "1") == [(1, "x"), (2, "2")]
    await PostgresSources(database).remove(ANN, "app", ["b.py", "z.py"])
    assert await chunk_neighbours(database, "x") == [(-1, "1"), (1, "2")]


async def test_files_and_chunks_of_other_namespaces_are_ignored(database: Database) -> None:
    ids = await indexed(database, "abc")
    await run(database, "UPDATE agent_memories SET namespace = 'else' WHERE content = 'a'")
    copy = "INSERT INTO ingested_files SELECT 'else', agent_id, '', path, digest, $1, now() FROM ingested_files"
    await run(database, copy, [ids["c"], ids["b"], ids["a"]])
    assert await chunk_neighbours(database, "b") == [(1, "c")]
    assert await chunk_neighbours(database, "a") == []
    await index_all(database)
    await run(database, "UPDATE ingested_files SET memory_ids = $1 WHERE path = 'a.py' AND source = 'app'", [ids["b"]])
    assert "b" in await queued(database)


@pytest.mark.parametrize("change", ["superseded_by = id", "expires_at = now() + interval '1 h'", "session_id = 's'"])
async def test_a_superseded_expiring_or_session_chunk_keeps_its_position_but_is_no_neighbour(
    database: Database, change: str
) -> None:
    await indexed(database, "abcde")
    await run(database, f"UPDATE agent_memories SET {change} WHERE content = 'c'")
    assert await chunk_neighbours(database, "c") == []
    assert await chunk_neighbours(database, "b") == [(-1, "a"), (2, "d")]


async def test_neighbours_of_messages_and_chunks_are_read_together(database: Database) -> None:
    messages = [NewMemory(letter, session_id="s") for letter in "xy"]
    added = await PostgresMemories(database).add_many(ANN, messages, NOW)
    ids = await indexed(database, "ab")
    near = await neighbours(database, [added[0].memory_id, ids["a"]])
    assert near == {added[0].memory_id: [(1, "y")], ids["a"]: [(1, "b")]}
