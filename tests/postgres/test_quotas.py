"""What a namespace may store, in Postgres."""

from datetime import UTC, datetime

import anyio
import pytest

from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.memory_changes import MemoryChange
from memos_mcp.domain.quotas import Amounts, Quota, QuotaExceeded
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.memory_changes import PostgresMemoryChanges
from memos_mcp.postgres.quotas import PostgresQuotas
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.services.quota_book import QuotaBook

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCOPE, OTHER = Scope("team", "ann"), Scope("other", "bob")


def book(database: Database, quota: Quota) -> QuotaBook:
    """Return the quotas of an engine whose settings say this."""
    return QuotaBook(PostgresQuotas(database), quota)


def tool(number: int) -> NewTool:
    return NewTool(f"tool-{number}", f"Tool {number}", "Does something.", "https://tools.example.com/do")


async def test_a_memory_beyond_the_limit_is_refused_until_one_is_forgotten(database: Database) -> None:
    quotas = book(database, Quota(memories=2))
    memories, changes = PostgresMemories(database, quotas), PostgresMemoryChanges(database, quotas)
    first = await memories.add(SCOPE, NewMemory("first"), NOW)
    await memories.add(SCOPE, NewMemory("second"), NOW)
    with pytest.raises(QuotaExceeded, match="has 2 of at most 2 memories, and this would add 1"):
        await memories.add(SCOPE, NewMemory("third"), NOW)
    assert not (await memories.add(SCOPE, NewMemory("second", tags=["known"]), NOW)).created
    await memories.add(OTHER, NewMemory("third"), NOW)
    await changes.forget(SCOPE, [first.memory_id], NOW)
    await memories.add(SCOPE, NewMemory("third"), NOW)
    with pytest.raises(QuotaExceeded):
        await changes.restore(SCOPE, [first.memory_id], NOW)


async def test_of_two_engines_that_write_at_once_neither_exceeds_the_limit(database: Database) -> None:
    engines = [PostgresMemories(database, book(database, Quota(memories=10))) for _ in range(2)]
    refused = 0

    async def write(number: int) -> None:
        nonlocal refused
        try:
            await engines[number % 2].add(SCOPE, NewMemory(f"memory {number}"), NOW)
        except QuotaExceeded:
            refused += 1

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(write, number)
    assert refused == 6
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 10
    assert (await PostgresQuotas(database).amounts())["team"].memories == 10


async def test_a_batch_is_stored_whole_or_not_at_all(database: Database) -> None:
    memories = PostgresMemories(database, book(database, Quota(memories=3)))
    with pytest.raises(QuotaExceeded, match="has 0 of at most 3 memories, and this would add 4"):
        await memories.add_many(SCOPE, [NewMemory(f"memory {number}") for number in range(4)], NOW)
    assert len(await memories.add_many(SCOPE, [NewMemory(f"memory {number}") for number in range(3)], NOW)) == 3


async def test_ingested_files_count(database: Database) -> None:
    sources = PostgresSources(database, book(database, Quota(memories=1)))
    files = [StoredFile(f"{name}.md", name.encode(), [NewMemory(name, kind="document")]) for name in ("a", "b")]
    with pytest.raises(QuotaExceeded):
        await sources.replace(SCOPE, "docs", files, NOW)
    await sources.replace(SCOPE, "docs", files[:1], NOW)
    await sources.remove(SCOPE, "docs", ["a.md"])
    await sources.replace(SCOPE, "docs", files[1:], NOW)


async def test_bytes_are_those_of_contents_and_metadata(database: Database) -> None:
    quotas = book(database, Quota(bytes=100))
    memories, changes = PostgresMemories(database, quotas), PostgresMemoryChanges(database, quotas)
    added = await memories.add(SCOPE, NewMemory("ä" * 40), NOW)
    assert await PostgresQuotas(database).amounts() == {"team": Amounts(1, 82, 0)}
    with pytest.raises(QuotaExceeded, match="has 82 of at most 100 bytes of memories, and this would add 21"):
        await changes.update(SCOPE, MemoryChange(added.memory_id, metadata={"key": "a long value"}), NOW)
    await changes.update(SCOPE, MemoryChange(added.memory_id, metadata={"key": "short"}), NOW)
    assert await PostgresQuotas(database).amounts() == {"team": Amounts(1, 96, 0)}


async def test_a_tool_beyond_the_limit_is_refused_and_a_registered_one_can_be_changed(database: Database) -> None:
    tools = PostgresTools(database, book(database, Quota(tools=1)))
    await tools.upsert(SCOPE.namespace, tool(1), NOW)
    with pytest.raises(QuotaExceeded, match="has 1 of at most 1 tools, and this would add 1"):
        await tools.upsert(SCOPE.namespace, tool(2), NOW)
    assert (await tools.upsert(SCOPE.namespace, tool(1), NOW)).outcome == "unchanged"
    await tools.delete(SCOPE.namespace, ["tool-1"])
    await tools.upsert(SCOPE.namespace, tool(2), NOW)


async def test_a_namespace_that_holds_too_much_already_may_shrink_but_not_grow(database: Database) -> None:
    unlimited = PostgresMemories(database)
    ids = [(await unlimited.add(SCOPE, NewMemory(f"memory {number}"), NOW)).memory_id for number in range(3)]
    await PostgresQuotas(database).set(SCOPE.namespace, Quota(memories=1))
    quotas = book(database, Quota())
    with pytest.raises(QuotaExceeded, match="has 3 of at most 1 memories"):
        await PostgresMemories(database, quotas).add(SCOPE, NewMemory("another"), NOW)
    assert len(await PostgresMemoryChanges(database, quotas).forget(SCOPE, ids[:1], NOW)) == 1


async def test_a_limit_of_a_namespace_replaces_the_setting(database: Database) -> None:
    store = PostgresQuotas(database)
    quotas = QuotaBook(store, Quota(memories=5, tools=2))
    await store.set("team", Quota(memories=7))
    assert await store.set("team", Quota(calls_a_minute=60)) == Quota(memories=7, calls_a_minute=60)
    assert await quotas.of("team") == Quota(memories=7, tools=2, calls_a_minute=60)
    assert await quotas.of("other") == Quota(memories=5, tools=2)
    assert await store.unset("team")
    assert not await store.unset("team")
    assert (await quotas.of("team")).memories == 7
    assert await store.amounts() == {}


async def test_a_changed_limit_is_read_behind_the_calls(database: Database) -> None:
    store, seconds = PostgresQuotas(database), [0.0]
    quotas = QuotaBook(store, Quota(), lambda: seconds[0])
    assert await quotas.of("team") == Quota()
    await store.set("team", Quota(memories=7))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quotas.keep)
        await anyio.wait_all_tasks_blocked()
        assert await quotas.of("team") == Quota()
        seconds[0] = 1.0
        with anyio.fail_after(10):
            while (await quotas.of("team")).memories is None:
                await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_nothing_is_counted_where_no_amount_is_limited(database: Database) -> None:
    quotas = book(database, Quota(calls_a_minute=1))
    await PostgresMemories(database, quotas).add(SCOPE, NewMemory("one"), NOW)
    assert await PostgresQuotas(database).amounts() == {}
