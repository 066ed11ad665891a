"""Shared steps of the neighbour tests: indexing everything, reading the queue, reading neighbours."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from memos_mcp.domain.index import ALL_ITEMS
from memos_mcp.domain.index_rows import Neighbour
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.row_states import PostgresMemoryRows
from memos_mcp.retrieval.context import MAX_CHARS, REACH

NOW: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE: Final = timedelta(minutes=1)
ANN: Final = Scope("team", "ann")


async def index_all(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    while due := await queue.claim(100, LEASE):
        await queue.finish(due)


async def run(database: Database, statement: str, *arguments: object) -> None:
    async with database.everything.connection() as connection:
        await connection.execute(statement, *arguments)


async def queued(database: Database) -> str:
    """Return the letters of the memories that are queued; `?` for deleted ones."""
    async with database.everything.connection() as connection:
        rows = await connection.fetch(
            "SELECT coalesce(content, '?') AS content FROM index_queue LEFT JOIN agent_memories ON id = item_id"
        )
    return "".join(sorted(row["content"] for row in rows))


def memory_rows(database: Database) -> PostgresMemoryRows:
    return PostgresMemoryRows(database, REACH)


async def neighbours(database: Database, ids: Sequence[UUID]) -> dict[UUID, Sequence[Neighbour]]:
    """Return the neighbours of those that have any."""
    contexts = await memory_rows(database).contexts(ids, MAX_CHARS)
    return {item: context.neighbours for item, context in contexts.items()}


async def all_neighbours(database: Database) -> dict[UUID, Sequence[Neighbour]]:
    return await neighbours(database, list(await memory_rows(database).states(ALL_ITEMS)))


async def around(database: Database) -> str:
    """Claim what is queued, and return the letters of what it affects besides."""
    claims = await PostgresIndexQueue(database).claim(100, LEASE)
    affected = await memory_rows(database).around(
        [claim.item_id for claim in claims], [position for claim in claims for position in claim.former_positions]
    )
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT content FROM agent_memories WHERE id = ANY ($1)", list(affected))
    return "".join(sorted(row["content"] for row in rows))
