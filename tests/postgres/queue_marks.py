"""Shared steps of the neighbour tests: indexing everything, reading the queue, reading all neighbours."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from memos_mcp.domain.memory import Neighbour
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.retrieval.context import MAX_CHARS, REACH

NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE: Final = timedelta(minutes=1)
ANN: Final = Scope("team", "ann")


async def index_all(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    while due := await queue.claim(100, LEASE):
        await queue.finish(due)


async def run(database: Database, statement: str, *arguments: object) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


async def queued(database: Database) -> str:
    """Return the letters of the memories that are queued; `?` for deleted ones."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT coalesce(content, '?') AS content FROM index_queue LEFT JOIN agent_memories ON id = item_id"
        )
    return "".join(sorted(row["content"] for row in rows))


async def all_neighbours(database: Database) -> dict[UUID, list[Neighbour]]:
    memories = PostgresMemories(database)
    return await memories.neighbours(list(await memories.versions()), REACH, MAX_CHARS)


async def missing_marks(database: Database, before: Mapping[UUID, Sequence[Neighbour]]) -> set[UUID]:
    """Return the memories whose neighbours have changed but which are not queued."""
    after = await all_neighbours(database)
    others = {one for one in before.keys() | after.keys() if before.get(one, []) != after.get(one, [])}
    return others - await PostgresIndexQueue(database).queued_ids("memory", sorted(others))
