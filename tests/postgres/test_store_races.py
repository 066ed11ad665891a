"""Concurrent writers: the test holds a lock until all of them wait for it."""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio
import pytest

from memos_mcp.domain.errors import NotFound
from memos_mcp.domain.memory import Added, MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, StoredFile
from memos_mcp.domain.tool import NewTool, Upserted
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import POOL_SIZE, Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from tests.postgres.row_locks import gate

pytestmark = pytest.mark.anyio

T = TypeVar("T")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN = Scope("team", "ann")
WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
NEVER_THE_VICTIM = "SET LOCAL deadlock_timeout = '1h'"
"""A session that never checks for deadlocks is never the victim; the other one is."""


async def until_waiting(connection: Connection, count: int) -> None:
    with anyio.fail_after(10):
        while await connection.fetchval(WAITING) < count:
            await anyio.lowlevel.checkpoint()


async def collect(answers: list[T], call: Callable[[], Awaitable[T]]) -> None:
    answers.append(await call())


async def test_fifty_stores_of_the_same_content_make_one_memory(database: Database) -> None:
    memories = PostgresMemories(database)
    answers: list[Added] = []
    insert = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('team', 'ann', 'tea')"
    async with anyio.create_task_group() as tasks, gate(database, insert) as connection:
        for _ in range(50):
            tasks.start_soon(collect, answers, lambda: memories.add(ANN, NewMemory("tea"), NOW))
        await until_waiting(connection, POOL_SIZE)
    assert len({added.memory_id for added in answers}) == 1
    assert sorted(added.created for added in answers) == [False] * 49 + [True]
    assert await memories.count("team", MemoryFilter(), NOW) == 1


async def test_one_of_two_concurrent_supersessions_wins(database: Database) -> None:
    memories = PostgresMemories(database)
    old = (await memories.add(ANN, NewMemory("old"), NOW)).memory_id
    answers: list[Added | str] = []

    async def supersede(content: str) -> None:
        try:
            answers.append(await memories.add(ANN, NewMemory(content, supersedes=old), NOW))
        except NotFound:
            answers.append("refused")

    async with (
        anyio.create_task_group() as tasks,
        gate(database, "SELECT FROM agent_memories FOR UPDATE") as connection,
    ):
        tasks.start_soon(supersede, "one")
        tasks.start_soon(supersede, "two")
        await until_waiting(connection, 2)
    assert len(answers) == 2
    assert answers.count("refused") == 1
    assert await memories.count("team", MemoryFilter(), NOW) == 1


async def test_two_crosswise_supersessions_both_succeed(database: Database) -> None:
    memories = PostgresMemories(database)
    tea = (await memories.add(ANN, NewMemory("tea"), NOW)).memory_id
    milk = (await memories.add(ANN, NewMemory("milk"), NOW)).memory_id
    answers: list[Added] = []
    async with (
        anyio.create_task_group() as tasks,
        gate(database, "SELECT FROM agent_memories FOR UPDATE") as connection,
    ):
        new_milk, new_tea = NewMemory("milk", supersedes=tea), NewMemory("tea", supersedes=milk)
        tasks.start_soon(collect, answers, lambda: memories.add(ANN, new_milk, NOW))
        tasks.start_soon(collect, answers, lambda: memories.add(ANN, new_tea, NOW))
        await until_waiting(connection, 2)
    assert len(answers) == 2
    assert await memories.count("team", MemoryFilter(), NOW) >= 1


async def test_batches_in_opposite_order_do_not_deadlock(database: Database) -> None:
    memories = PostgresMemories(database)
    batch = [NewMemory(f"note {number}") for number in range(100)]
    answers: list[list[Added]] = []
    async with anyio.create_task_group() as tasks:
        for order in (batch, batch[::-1], batch, batch[::-1]):
            tasks.start_soon(collect, answers, lambda order=order: memories.add_many(ANN, order, NOW))
    assert sum(added.created for answer in answers for added in answer) == 100
    assert await memories.count("team", MemoryFilter(), NOW) == 100


@pytest.mark.parametrize(
    "write",
    [
        lambda port: port.replace(ANN, "app", [StoredFile("a.py", b"2", [])], NOW),
        lambda port: port.remove(ANN, "app", ["a.py"]),
    ],
    ids=["replace", "remove"],
)
async def test_a_change_of_files_that_loses_a_deadlock_is_retried(
    database: Database, write: Callable[[PostgresSources], Coroutine[Any, Any, Replaced]]
) -> None:
    port = PostgresSources(database)
    await port.replace(ANN, "app", [StoredFile("a.py", b"1", [NewMemory("tea", kind="document")])], NOW)
    answers: list[Replaced] = []
    with anyio.fail_after(30):
        async with (
            database.everything.connection() as watcher,
            anyio.create_task_group() as tasks,
            gate(database, "SELECT FROM index_queue FOR UPDATE") as other,
        ):
            await other.execute(NEVER_THE_VICTIM)
            tasks.start_soon(collect, answers, lambda: write(port))
            await until_waiting(watcher, 1)
            await other.execute("SELECT FROM agent_memories FOR UPDATE")
    assert answers == [Replaced(removed=1)]


INSERT_TOOL = """
    INSERT INTO registered_tools (namespace, tool_id, name, description, endpoint_url)
    VALUES ('team', 'mail', 'n', 'd', 'http://x')
"""


async def register_at_once(database: Database, descriptions: list[str]) -> list[Upserted]:
    tools = PostgresTools(database)
    answers: list[Upserted] = []

    async def register(description: str) -> None:
        answers.append(await tools.upsert("team", NewTool("mail", "Mail", description, "http://x"), NOW))

    async with anyio.create_task_group() as tasks, gate(database, INSERT_TOOL) as connection:
        for description in descriptions:
            tasks.start_soon(register, description)
        await until_waiting(connection, len(descriptions))
    assert len({answer.id for answer in answers}) == 1
    return answers


async def test_registrations_at_the_same_moment_each_get_a_version_of_their_own(database: Database) -> None:
    answers = await register_at_once(database, [f"description {number}" for number in range(8)])
    assert sorted((answer.version, answer.outcome) for answer in answers) == [
        (1, "created"),
        *((version, "updated") for version in range(2, 9)),
    ]


async def test_the_same_registration_at_the_same_moment_is_created_once(database: Database) -> None:
    answers = await register_at_once(database, ["same"] * 8)
    assert sorted(answer.outcome for answer in answers) == ["created"] + ["unchanged"] * 7
    assert {answer.version for answer in answers} == {1}
