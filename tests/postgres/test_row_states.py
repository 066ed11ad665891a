"""What the index should hold of each row, and what a change of rows affects besides them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from memos_mcp.domain.index import ALL_ITEMS, ItemState, SequenceRange, states_digest
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.row_states import PostgresToolRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from tests.postgres.file_chunks import ORDER, file, indexed, ingest
from tests.postgres.messages import store, store_session
from tests.postgres.queue_marks import ANN, LEASE, NOW, all_neighbours, around, index_all, memory_rows, queued, run

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def letters(database: Database, ids: Iterable[UUID]) -> set[str]:
    """Return the contents of the memories among these that still exist."""
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT content FROM agent_memories WHERE id = ANY ($1)", list(ids))
    return {row["content"] for row in rows}


async def states(database: Database) -> dict[UUID, ItemState]:
    return await memory_rows(database).states(ALL_ITEMS)


@pytest.mark.parametrize(
    ("change", "affected"),
    [
        ("DELETE FROM agent_memories WHERE content = 'd'", "bcef"),
        ("DELETE FROM agent_memories WHERE content IN ('d', 'e')", "bcfg"),
        ("UPDATE agent_memories SET content = 'D' WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET superseded_by = id WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET expires_at = 'infinity' WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET session_id = NULL WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET session_id = 't' WHERE content = 'd'", "bcefxy"),
        ("UPDATE agent_memories SET namespace = 'else' WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET occurred_at = occurred_at + interval '1 h' WHERE content = 'c'", "abdefg"),
        ("UPDATE agent_memories SET importance = 1 WHERE content = 'd'", "bcef"),
        ("UPDATE agent_memories SET ingested = true WHERE content = 'd'", ""),
    ],
)
async def test_a_change_affects_what_is_around_the_present_and_the_former_positions(
    database: Database, change: str, affected: str
) -> None:
    await store_session(database, "abcdefg")
    await store_session(database, "xy", "t")
    before = await all_neighbours(database)
    await run(database, change)
    after = await all_neighbours(database)
    claimed = await queued(database)
    assert await around(database) == affected
    changed = {item for item in before.keys() | after.keys() if before.get(item) != after.get(item)}
    assert await letters(database, changed) <= {*affected, *claimed}


async def test_an_item_that_moves_twice_before_it_is_claimed_affects_every_position(database: Database) -> None:
    await store_session(database, "abc")
    await store_session(database, "x", "t")
    await store_session(database, "y", "u")
    for session in "tu":
        await run(database, "UPDATE agent_memories SET session_id = $1 WHERE content = 'a'", session)
    await run(database, "DELETE FROM agent_memories WHERE content = 'a'")
    assert await around(database) == "bcxy"


async def test_a_position_is_kept_while_its_item_is_claimed(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await store_session(database, "abc")
    await run(database, "DELETE FROM agent_memories WHERE content = 'a'")
    await queue.release(await queue.claim(9, LEASE))
    assert await around(database) == "bc"


async def test_what_is_queued_and_not_claimed_is_affected_by_nothing(database: Database) -> None:
    await store_session(database, "ab")
    await store(database, "c", 2)
    [claim] = await PostgresIndexQueue(database).claim(9, LEASE)
    await store(database, "d", 3)
    assert len(await memory_rows(database).around([claim.item_id], [])) == 2


async def test_a_chunk_that_changes_affects_its_neighbours_in_each_of_its_files(database: Database) -> None:
    await indexed(database, "abcde")
    await ingest(database, "a.py", "xcy", "lib")
    await index_all(database)
    await run(database, "UPDATE agent_memories SET superseded_by = id WHERE content = 'c'")
    assert await around(database) == "abdexy"


@pytest.mark.parametrize(
    ("order", "expected"), [("acb", "abc"), ("ab", "?ab"), ("abcd", "abcd"), ("b", "??b"), ("abc", "")]
)
async def test_a_file_that_changes_queues_all_of_its_chunks(database: Database, order: str, expected: str) -> None:
    await indexed(database, "abc")
    await PostgresSources(database).replace(ANN, "app", [file("a.py", list(order))], NOW)
    assert await queued(database) == expected


async def test_a_first_run_queues_each_chunk_once_and_does_not_touch_its_row_again(database: Database) -> None:
    await ingest(database, "a.py", "abc")
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT priority, item_id, version FROM index_queue ORDER BY version")
    assert [row["priority"] for row in rows] == [1, 1, 1]
    versions = [row["version"] for row in rows]
    assert versions == list(range(versions[0], versions[0] + 3))


async def test_a_memory_that_outlives_its_file_is_queued_when_the_file_is_removed(database: Database) -> None:
    ids = await indexed(database, "abc")
    await PostgresMemories(database).add(ANN, NewMemory("b"), NOW)
    await PostgresSources(database).remove(ANN, "app", ["a.py"])
    assert await queued(database) == "??b"
    assert await all_neighbours(database) == {}
    assert list(await states(database)) == [ids["b"]]


async def test_a_new_order_hands_a_claimed_chunk_back(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await ingest(database, "a.py", "abc")
    claimed = await queue.claim(9, LEASE)
    await run(database, ORDER, [claim.item_id for claim in claimed])
    await queue.finish(claimed)
    assert await queued(database) == "abc"


async def test_the_digest_of_a_range_is_that_of_its_states(database: Database) -> None:
    rows = memory_rows(database)
    empty = await rows.digest(ALL_ITEMS)
    assert empty == states_digest({})
    await store_session(database, "abcdef")
    await store(database, "alone", session=None)
    await indexed(database, "xyz")
    everything = await states(database)
    assert await rows.digest(ALL_ITEMS) == states_digest(everything) != empty
    assert {state.context is None for state in everything.values()} == {True, False}


async def test_ranges_divide_the_rows_by_their_number(database: Database) -> None:
    rows = memory_rows(database)
    ids = await store_session(database, "abcde")
    assert await rows.count() == 5
    end = await rows.range_end(0, 2)
    assert end is not None
    assert set(await rows.states(SequenceRange(0, end))) == set(ids[:2])
    assert set(await rows.states(SequenceRange(end + 1, ALL_ITEMS.last))) == set(ids[2:])
    assert await rows.range_end(0, 5) is not None
    assert await rows.range_end(0, 6) is None


async def test_the_states_of_tools_are_their_versions(database: Database) -> None:
    rows, tools = PostgresToolRows(database), PostgresTools(database)
    added = [await tools.upsert("team", NewTool(name, name, "Does it.", "https://x.example"), NOW) for name in "abc"]
    await run(database, "UPDATE registered_tools SET enabled = false WHERE tool_id = 'c'")
    expected = {one.id: ItemState(1) for one in added[:2]}
    assert await rows.states(ALL_ITEMS) == await rows.states([one.id for one in added]) == expected
    assert (await rows.count(), await rows.digest(ALL_ITEMS)) == (2, states_digest(expected))
    assert await rows.range_end(0, 2) is not None
    assert await rows.range_end(0, 3) is None


def naive_neighbours(rows: Sequence[tuple[UUID, str]]) -> dict[UUID, list[tuple[int, str]]]:
    """Return the neighbours within two on each side, of rows in their order."""
    return {
        item: [(offset, rows[position + offset][1]) for offset in (-2, -1, 1, 2) if 0 <= position + offset < len(rows)]
        for position, (item, _) in enumerate(rows)
        if len(rows) > 1
    }


@pytest.mark.parametrize("seed", range(3))
async def test_contexts_are_those_of_a_walk_along_each_session(database: Database, seed: int) -> None:
    dice = Random(seed)
    for number in range(40):
        await store(database, f"{number}", dice.randrange(10), session=dice.choice("stu"))
    await run(database, "UPDATE agent_memories SET superseded_by = id WHERE content LIKE '%3'")
    async with database.everything.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, content, session_id, superseded_by FROM agent_memories ORDER BY occurred_at, sequence"
        )
    live = [row for row in rows if row["superseded_by"] is None]
    expected: dict[UUID, list[tuple[int, str]]] = {}
    for session in "stu":
        expected |= naive_neighbours([(row["id"], row["content"]) for row in live if row["session_id"] == session])
    assert await all_neighbours(database) == expected
