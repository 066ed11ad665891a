"""The messages of a session, for the tests of their neighbours."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from memos_mcp.domain.index_rows import Neighbour
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from tests.postgres.queue_marks import ANN, NOW, index_all, neighbours


async def store(
    database: Database, content: str, minute: float = 0, scope: Scope = ANN, session: str | None = "s", **parts: Any
) -> UUID:
    """Store a memory that occurred in this minute of the hour."""
    new = NewMemory(content, session_id=session, occurred_at=NOW + timedelta(minutes=minute), **parts)
    return (await PostgresMemories(database).add(scope, new, NOW)).memory_id


async def store_session(database: Database, contents: str, session: str = "s") -> list[UUID]:
    """Store one memory for each letter, a minute apart, and index them."""
    ids = [await store(database, letter, minute, session=session) for minute, letter in enumerate(contents)]
    await index_all(database)
    return ids


async def neighbours_of(database: Database, memory_id: UUID) -> list[Neighbour]:
    return list((await neighbours(database, [memory_id])).get(memory_id, []))
