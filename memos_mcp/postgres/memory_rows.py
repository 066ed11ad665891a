"""Reads rows of agent_memories, and gives filters to the statements that select them."""

from datetime import datetime
from typing import Any

from memos_mcp.domain.memory import Memory, MemoryFilter
from memos_mcp.postgres.connection import Row


def filter_values(namespace: str, filter: MemoryFilter, now: datetime) -> tuple[Any, ...]:
    """Return the parameters $1 to $9 of the statements with memory_matches."""
    return (
        namespace,
        now,
        filter.kind,
        filter.tags,
        filter.metadata,
        filter.session_id,
        filter.agent_id,
        filter.since,
        filter.until,
    )


def memory_of(row: Row) -> Memory:
    """Return the memory of a row with all columns of a `Memory`."""
    return Memory(
        memory_id=row["id"],
        namespace=row["namespace"],
        agent_id=row["agent_id"],
        content=row["content"],
        kind=row["kind"],
        tags=row["tags"],
        metadata=row["metadata"],
        importance=row["importance"],
        session_id=row["session_id"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        version=row["version"],
        sequence=row["sequence"],
        superseded_by=row["superseded_by"],
        superseded_at=row["superseded_at"],
    )
