"""Who is beside a turn in its session, and beside a chunk in its file."""

from datetime import timedelta

import pytest

from memos_mcp.domain.memory import Neighbour, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.retrieval.context import MAX_CHARS, REACH
from tests.postgres.chunks import around, indexed, take_in
from tests.postgres.marked import ANN, NOW, everybodys_neighbours, index_all, queued, run
from tests.postgres.turns import said_around, store, talk

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
BOB = Scope("team", "bob")


async def test_neighbours_in_a_session_come_by_step_and_no_further_than_the_reach(database: Database) -> None:
    ids = await talk(database, "abcdefg")
    near = await PostgresMemories(database).neighbours(ids, REACH, MAX_CHARS)
    assert near[ids[3]] == [Neighbour(-2, "b"), Neighbour(-1, "c"), Neighbour(1, "e"), Neighbour(2, "f")]
    assert near[ids[0]] == [Neighbour(1, "b"), Neighbour(2, "c")]
    assert near[ids[6]] == [Neighbour(-2, "e"), Neighbour(-1, "f")]
    assert max(one.offset for one in near[ids[3]]) == REACH


async def test_memories_of_one_instant_are_beside_each_other_as_they_were_stored(database: Database) -> None:
    for letter in "abc":
        await store(database, letter)
    last = await store(database, "d")
    assert await said_around(database, last) == [(-2, "b"), (-1, "c")]


async def test_of_a_long_neighbour_in_a_session_the_nearest_part_is_given(database: Database) -> None:
    await store(database, "far " * MAX_CHARS + "äöü", 0)
    middle = await store(database, "middle", 1)
    await store(database, "äöü" + " far" * MAX_CHARS, 2)
    before, after = await said_around(database, middle)
    assert (len(before[1]), before[1][-7:]) == (MAX_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (MAX_CHARS, "äöü far")


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
    assert await PostgresMemories(database).neighbours([old, expiring, alone, asked], REACH, MAX_CHARS) == {
        asked: [Neighbour(1, "new")]
    }


async def test_neighbours_in_a_file_come_by_step_and_no_further_than_the_reach(database: Database) -> None:
    ids = await indexed(database, "abcdefg")
    near = await PostgresMemories(database).neighbours(list(ids.values()), REACH, MAX_CHARS)
    assert near[ids["d"]] == [Neighbour(-2, "b"), Neighbour(-1, "c"), Neighbour(1, "e"), Neighbour(2, "f")]
    assert near[ids["a"]] == [Neighbour(1, "b"), Neighbour(2, "c")]
    assert near[ids["g"]] == [Neighbour(-2, "e"), Neighbour(-1, "f")]
    assert max(one.offset for one in near[ids["d"]]) == REACH


async def test_neighbours_are_those_of_the_file_as_it_is_now(database: Database) -> None:
    await indexed(database, "abcd")
    await take_in(database, "b.py", "xyz")
    await take_in(database, "a.py", "dbfa")
    assert await around(database, "b") == [(-1, "d"), (1, "f"), (2, "a")]
    await PostgresSources(database).remove(ANN, "app", ["b.py"])
    await take_in(database, "a.py", "b")
    assert await everybodys_neighbours(database) == {}


async def test_of_a_long_neighbour_in_a_file_the_nearest_part_is_given(database: Database) -> None:
    far = "far " * MAX_CHARS
    await indexed(database, [far + "äöü", "middle", "äöü " + far])
    before, after = await around(database, "middle")
    assert (len(before[1]), before[1][-7:]) == (MAX_CHARS, "far äöü")
    assert (len(after[1]), after[1][:7]) == (MAX_CHARS, "äöü far")


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
    near = await PostgresMemories(database).neighbours([added[0].memory_id, ids["a"]], REACH, MAX_CHARS)
    assert near == {added[0].memory_id: [(1, "y")], ids["a"]: [(1, "b")]}
