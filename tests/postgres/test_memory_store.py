"""Memories on a real Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.index import ALL_ITEMS, ItemState, Span
from memos_mcp.domain.memory import Added, ListPosition, MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from tests.postgres.queue_marks import memory_rows

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANY = MemoryFilter()
ANN = Scope("team", "ann")


async def store(memories: PostgresMemories, content: str, scope: Scope = ANN, **parts: Any) -> UUID:
    return (await memories.add(scope, NewMemory(content, **parts), NOW)).memory_id


async def test_a_memory_comes_back_exactly_as_it_was_stored(database: Database) -> None:
    memories = PostgresMemories(database)
    new = NewMemory(
        "Grüße 😀 \\ ' \" \n\t end ",
        kind="procedural",
        tags=("b", "a", "b"),
        metadata={
            "π": [1, 2.5, None, {"deep": True}],
            "huge": 1e300,
            "tiny": 1e-300,
            "big": 2**63 - 1,
            "least": -(2**63),
        },
        importance=0.1,
        session_id="s",
        occurred_at=datetime(2020, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
        expires_at=NOW + HOUR,
    )
    added = await memories.add(ANN, new, NOW)
    memory = (await memories.get("team", [added.memory_id], ANY, NOW))[added.memory_id]
    assert (memory.content, memory.kind, list(memory.tags)) == (new.content, new.kind, ["b", "a", "b"])
    assert (memory.metadata, memory.importance, memory.session_id) == (new.metadata, 0.1, "s")
    assert isinstance(memory.metadata["huge"], float)
    assert (memory.occurred_at, memory.created_at, memory.expires_at) == (new.occurred_at, NOW, new.expires_at)
    assert (memory.namespace, memory.agent_id, memory.version) == ("team", "ann", 1)
    assert added.created


async def test_the_longest_names_fit(database: Database) -> None:
    memories = PostgresMemories(database)
    longest = "".join(chr(0x1F300 + number) for number in range(255))
    scope = Scope(longest, longest[::-1])
    memory_id = await store(memories, "x", scope, session_id=longest, tags=[longest[:128]])
    assert list(await memories.get(longest, [memory_id], MemoryFilter(session_id=longest), NOW)) == [memory_id]
    assert await store(memories, "x", scope, session_id=longest) == memory_id


async def test_any_content_can_be_stored_and_searched(database: Database) -> None:
    memories = PostgresMemories(database)
    for content in (
        " ".join(f"{number:x}.io/{number:x}" for number in range(18_000)),
        "x" * 262_144,
        "é-ü-" * 40_000,
        "it's 'quoted' & | ! <-> :* \\",
    ):
        memory_id = await store(memories, content)
        assert (await memories.get("team", [memory_id], ANY, NOW))[memory_id].content == content
        assert isinstance(await memories.text_search("team", content, ANY, 5, NOW, queued_only=False), list)
    async with (
        database.everything.connection() as connection
    ):  # more than a tsvector can hold is searchable by its beginning
        too_much = "beginning " + " ".join(f"word{number}" for number in range(150_000))
        statement = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('other', 'ann', $1)"
        await connection.execute(statement, too_much)
    assert len(await memories.text_search("other", "beginning", ANY, 5, NOW, queued_only=False)) == 1


async def test_the_same_content_is_stored_once_per_namespace_agent_and_session(database: Database) -> None:
    memories = PostgresMemories(database)
    first = await memories.add(ANN, NewMemory("tea", importance=0.2, tags=["a"], metadata={"n": 1}), NOW)
    again = await memories.add(ANN, NewMemory("tea", tags=["a"], metadata={"n": 1}), NOW + HOUR)
    assert again == Added(first.memory_id, created=False, version=1)
    others = {
        await store(memories, "tea", Scope("team", "bob")),
        await store(memories, "tea", Scope("other", "ann")),
        await store(memories, "tea", session_id="s"),
        await store(memories, "Tea"),
    }
    assert len(others | {first.memory_id}) == 5


async def test_what_is_given_with_the_same_content_again_is_merged(database: Database) -> None:
    memories = PostgresMemories(database)
    first = await memories.add(ANN, NewMemory("tea", tags=["b"], metadata={"n": 1}, expires_at=NOW + HOUR), NOW)
    new = NewMemory("tea", "semantic", ["a", "b"], {"m": 2}, 0.9, expires_at=NOW + 2 * HOUR)

    again = await memories.add(ANN, new, NOW)

    memory = (await memories.get("team", [first.memory_id], ANY, NOW))[first.memory_id]
    assert again == Added(first.memory_id, created=False, version=memory.version, merged=True)
    assert (memory.kind, memory.tags, memory.metadata) == ("semantic", ["b", "a"], {"n": 1, "m": 2})
    assert (memory.importance, memory.expires_at) == (0.9, NOW + 2 * HOUR)
    assert (await memories.add(ANN, new, NOW)).merged is False


async def test_a_merge_that_would_be_too_large_is_refused_and_changes_nothing(database: Database) -> None:
    memories = PostgresMemories(database)
    first = await memories.add(ANN, NewMemory("tea", tags=[f"t{number}" for number in range(64)]), NOW)
    with pytest.raises(Invalid, match="tags, with those that are there, has 65 entries"):
        await memories.add(ANN, NewMemory("tea", tags=["one more"], importance=0.9), NOW)
    memory = (await memories.get("team", [first.memory_id], ANY, NOW))[first.memory_id]
    assert (len(memory.tags), memory.importance, memory.version) == (64, 0.5, 1)


async def test_a_batch_merges_into_what_is_there_and_into_its_own_first(database: Database) -> None:
    memories = PostgresMemories(database)
    there = await store(memories, "b", tags=["old"])
    batch = [NewMemory("a", tags=["x"]), NewMemory("b", tags=["new"]), NewMemory("a", tags=["y"]), NewMemory("b")]

    added = await memories.add_many(ANN, batch, NOW)

    assert [one.created for one in added] == [True, False, False, False]
    assert [one.merged for one in added] == [True, True, True, True]
    found = await memories.get("team", [there, added[0].memory_id], ANY, NOW)
    assert {memory.content: memory.tags for memory in found.values()} == {"a": ["x", "y"], "b": ["old", "new"]}
    assert not any(one.merged for one in await memories.add_many(ANN, batch, NOW))


async def test_concurrent_merges_into_one_memory_lose_nothing(database: Database) -> None:
    memories = PostgresMemories(database)
    first = await store(memories, "tea")
    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(memories.add, ANN, NewMemory("tea", tags=[f"t{number}"]), NOW)
    assert sorted((await memories.get("team", [first], ANY, NOW))[first].tags) == ["t0", "t1", "t2", "t3"]


async def test_an_expired_memory_is_overwritten_in_place(database: Database) -> None:
    memories = PostgresMemories(database)
    old = await memories.add(ANN, NewMemory("tea", tags=["old"], expires_at=NOW + HOUR), NOW)
    new = await memories.add(ANN, NewMemory("tea", tags=["new"]), NOW + HOUR)
    assert (new.memory_id, new.created) == (old.memory_id, True)
    memory = (await memories.get("team", [new.memory_id], ANY, NOW + 2 * HOUR))[new.memory_id]
    assert (memory.tags, memory.created_at, memory.expires_at) == (["new"], NOW + HOUR, None)
    assert memory.version == new.version > old.version


async def test_a_superseded_memory_is_replaced_by_the_new_one(database: Database) -> None:
    memories = PostgresMemories(database)
    old = await store(memories, "the limit is 10")
    new = await store(memories, "the limit is 20", supersedes=old)
    assert list(await memories.get("team", [old, new], ANY, NOW)) == [new]
    assert list(await memories.current([old, new])) == [new]
    assert list(await memory_rows(database).states(ALL_ITEMS)) == [new]


async def test_a_memory_can_be_superseded_by_one_of_the_same_content(database: Database) -> None:
    memories = PostgresMemories(database)
    old = await store(memories, "tea", importance=0.1)
    new = await memories.add(ANN, NewMemory("tea", importance=0.9, supersedes=old), NOW)
    assert new.created
    assert new.memory_id != old
    assert list(await memory_rows(database).states(ALL_ITEMS)) == [new.memory_id]


async def test_a_memory_can_be_superseded_by_an_existing_one(database: Database) -> None:
    memories = PostgresMemories(database)
    old, there = await store(memories, "tea"), await store(memories, "coffee")
    added = await memories.add(ANN, NewMemory("coffee", supersedes=old), NOW)
    assert (added.memory_id, added.created) == (there, False)
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT superseded_by FROM agent_memories WHERE id = $1", old) == there


async def test_only_a_live_memory_of_the_namespace_can_be_superseded(database: Database) -> None:
    memories = PostgresMemories(database)
    superseded = await store(memories, "superseded")
    await store(memories, "newer", supersedes=superseded)
    expired = await store(memories, "expired", expires_at=NOW)
    foreign = await store(memories, "foreign", Scope("other", "ann"))
    for impossible in (uuid4(), superseded, expired, foreign):
        with pytest.raises(NotFound, match="supersedes: no live memory"):
            await store(memories, "never stored", supersedes=impossible)
    assert await memories.count("team", ANY, NOW) == 1


async def test_a_batch_returns_for_each_memory_whether_it_was_created(database: Database) -> None:
    memories = PostgresMemories(database)
    there = await store(memories, "b")
    batch = [NewMemory("a"), NewMemory("b"), NewMemory("a"), NewMemory("a", session_id="s")]
    added = await memories.add_many(ANN, batch, NOW)
    assert [one.created for one in added] == [True, False, False, True]
    assert added[1].memory_id == there
    assert added[0].memory_id == added[2].memory_id != added[3].memory_id
    assert await memories.add_many(ANN, [], NOW) == []


async def test_memories_of_one_instant_keep_the_order_of_the_batch(database: Database) -> None:
    memories = PostgresMemories(database)
    lines = [f"line {number}" for number in range(30)]
    await memories.add_many(ANN, [NewMemory(line, session_id="play") for line in lines], NOW)
    listed = await memories.newest("team", ANY, None, 100, NOW)
    assert [memory.content for memory in listed] == lines[::-1]


FILTERS = [
    (MemoryFilter(kind="semantic"), "b"),
    (MemoryFilter(tags=["x"]), "ab"),
    (MemoryFilter(tags=["x", "y"]), "b"),
    (MemoryFilter(tags=[]), "abc"),
    (MemoryFilter(metadata={"n": {"deep": 1}}), "a"),
    (MemoryFilter(metadata={}), "abc"),
    (MemoryFilter(session_id="s1"), "a"),
    (MemoryFilter(agent_id="bob"), "c"),
    (MemoryFilter(since=NOW), "bc"),
    (MemoryFilter(until=NOW), "ab"),
    (MemoryFilter(since=NOW, until=NOW, tags=["y"], kind="semantic"), "b"),
    (MemoryFilter(agent_id="nobody"), ""),
]


async def test_every_way_of_reading_applies_the_whole_filter(database: Database) -> None:
    memories = PostgresMemories(database)
    a = NewMemory("tea a", tags=["x"], metadata={"n": {"deep": 1, "more": 2}}, session_id="s1", occurred_at=NOW - HOUR)
    await memories.add(ANN, a, NOW)
    await memories.add(ANN, NewMemory("tea b", kind="semantic", tags=["x", "y"], occurred_at=NOW), NOW)
    await memories.add(Scope("team", "bob"), NewMemory("tea c", occurred_at=NOW + HOUR), NOW)
    await memories.add(Scope("other", "ann"), NewMemory("tea d"), NOW)
    await memories.add(ANN, NewMemory("tea e", expires_at=NOW), NOW)
    rows = await memories.current(list(await memory_rows(database).states(ALL_ITEMS)))
    names = {memory_id: row.content[-1] for memory_id, row in rows.items()}

    def named(ids: Any) -> str:
        return "".join(sorted(names[memory_id] for memory_id in ids))

    for asked, expected in FILTERS:
        assert named(await memories.get("team", list(names), asked, NOW)) == expected
        assert named(row.memory_id for row in await memories.newest("team", asked, None, 10, NOW)) == expected
        assert await memories.count("team", asked, NOW) == len(expected)
        for queued_only in (False, True):
            matches = await memories.text_search("team", "tea", asked, 10, NOW, queued_only=queued_only)
            assert named(match.item_id for match in matches) == expected


async def test_a_listing_continues_after_its_last_entry(database: Database) -> None:
    memories = PostgresMemories(database)
    same_moment = [NewMemory(f"note {number}", occurred_at=NOW) for number in range(5)]
    await memories.add_many(ANN, [*same_moment, NewMemory("older", occurred_at=NOW - HOUR)], NOW)
    seen: list[str] = []
    after: ListPosition | None = None
    while page := await memories.newest("team", ANY, after, 2, NOW):
        seen += [memory.content for memory in page]
        after = ListPosition(page[-1].occurred_at, page[-1].sequence)
    assert len(seen) == len(set(seen)) == 6
    assert seen[-1] == "older"


async def test_text_is_ranked_by_any_of_its_words(database: Database) -> None:
    memories = PostgresMemories(database)
    both = await store(memories, "the deployment of the payments service")
    one = await store(memories, "payments are late")
    await store(memories, "lunch")
    matches = await memories.text_search("team", "Deploying payment & | ! ( :*", ANY, 10, NOW, queued_only=False)
    assert [match.item_id for match in matches] == [both, one]
    assert all(match.score > 0 for match in matches)
    assert matches[0].span == Span(0, len("the deployment of the payments service"))


async def test_a_text_without_words_finds_nothing(database: Database) -> None:
    memories = PostgresMemories(database)
    await store(memories, "the deployment")
    for text in ("", "the of and", "?!*'\\", "\n"):
        assert await memories.text_search("team", text, ANY, 10, NOW, queued_only=False) == []


async def test_a_search_of_queued_rows_finds_only_unindexed_memories(database: Database) -> None:
    memories, queue = PostgresMemories(database), PostgresIndexQueue(database)
    await store(memories, "tea in the index")
    await queue.finish(await queue.claim(10, HOUR))
    waiting = await store(memories, "tea that waits")
    matches = await memories.text_search("team", "tea", ANY, 10, NOW, queued_only=True)
    assert [match.item_id for match in matches] == [waiting]


CHANGES = (
    "content = 'other'",
    "tags = '{other}'",
    "metadata = '{\"other\": 1}'",
    "session_id = 'other'",
    "agent_id = 'other'",
    "kind = 'document'",
    "occurred_at = 'infinity'",
    "expires_at = now()",
    "namespace = 'other'",
    "superseded_by = gen_random_uuid()",
)


async def test_a_manual_change_of_an_indexed_column_increments_the_version_and_queues(database: Database) -> None:
    memories, queue = PostgresMemories(database), PostgresIndexQueue(database)
    memory_id = await store(memories, "tea")
    await queue.finish(await queue.claim(10, HOUR))
    for version, change in enumerate(CHANGES, 2):
        async with database.everything.connection() as connection:
            await connection.execute(f"UPDATE agent_memories SET {change}")
            row = await connection.fetchrow("SELECT version, content_hash = digest_of(content) FROM agent_memories")
        assert row is not None
        assert tuple(row.values()) == (version, True)
        due = await queue.claim(10, HOUR)
        assert [one.item_id for one in due] == [memory_id]
        await queue.finish(due)


async def test_a_change_of_an_unindexed_column_queues_nothing(database: Database) -> None:
    memories, queue = PostgresMemories(database), PostgresIndexQueue(database)
    memory_id = await store(memories, "tea")
    await queue.finish(await queue.claim(10, HOUR))
    async with database.everything.connection() as connection:
        await connection.execute("UPDATE agent_memories SET ingested = NOT ingested, tags = tags")
    assert await queue.claim(10, HOUR) == []
    assert await memory_rows(database).states(ALL_ITEMS) == {memory_id: ItemState(1)}


async def test_the_newest_of_a_long_queue_is_found_by_its_words(database: Database) -> None:
    memories = PostgresMemories(database)
    await memories.add_many(ANN, [NewMemory(f"tea number {number}") for number in range(1_100)], NOW)
    newest = await store(memories, "tea and cake")
    found = await memories.text_search("team", "cake", ANY, 10, NOW, queued_only=True)
    assert [match.item_id for match in found] == [newest]
    assert len(await memories.text_search("team", "tea", ANY, 2_000, NOW, queued_only=True)) == 1_000
