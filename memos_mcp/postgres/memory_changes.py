"""Corrects, forgets, erases and restores memories in Postgres, each change with its events in one transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from memos_mcp.domain.errors import Conflict, Invalid, NotFound
from memos_mcp.domain.memory import Memory, MemoryFilter, NewMemory
from memos_mcp.domain.memory_changes import (
    Changed,
    ErasedVectors,
    EventName,
    MemoryChange,
    MemoryEvent,
    Selection,
    ToForget,
)
from memos_mcp.domain.quotas import NO_QUOTAS, Quotas
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres import memory_events
from memos_mcp.postgres.connection import Connection, Row
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.growth import Growth
from memos_mcp.postgres.memory_rows import filter_values, memory_of
from memos_mcp.postgres.memory_writes import add_in_place_of, find

_LOCK: Final = """
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence, superseded_by, superseded_at
      FROM agent_memories
     WHERE id = $1
       AND namespace = $2
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $3)
       FOR UPDATE
"""
_SUCCESSOR: Final = """
    SELECT successor.id, successor.content, successor.version
      FROM agent_memories AS old
      JOIN agent_memories AS successor ON successor.id = old.superseded_by
     WHERE old.id = $1
       AND (old.namespace, successor.namespace) = ($2, $2)
"""
_LABELS: Final = ("kind", "tags", "metadata", "importance", "session_id", "occurred_at", "expires_at")
# A corrected chunk outlives its file, as one that a client stores does.
_UPDATE: Final = """
    UPDATE agent_memories
       SET kind = $2, tags = $3, metadata = $4, importance = $5, session_id = $6, occurred_at = $7, expires_at = $8,
           ingested = false
     WHERE id = $1
    RETURNING version
"""
# The memories with the ids of $10, or else all that pass the filter and are live, and their earlier versions, which are
# found through those that replaced them. With $11 also superseded, expired and forgotten ones.
_TARGETS: Final = """
    WITH RECURSIVE selected AS (
        SELECT id
          FROM agent_memories AS memory
         WHERE memory_matches_any(memory, $1, NULL, $3, $4, $5, $6, $7, $8, $9)
           AND ($10::uuid[] IS NULL OR id = ANY ($10))
           AND ($10 IS NOT NULL OR $11 OR (superseded_by IS NULL AND (expires_at IS NULL OR expires_at > $2)))
         UNION ALL
        SELECT id
          FROM forgotten_memories
         WHERE $11
           AND namespace = $1
           AND memory_matches_any(
                jsonb_populate_record(NULL::agent_memories, stored), $1, NULL, $3, $4, $5, $6, $7, $8, $9)
           AND ($10 IS NULL OR id = ANY ($10))
    ), chain AS (
        SELECT id FROM selected
         UNION
        SELECT former.id
          FROM chain
         CROSS JOIN LATERAL (
            SELECT id FROM agent_memories WHERE superseded_by = chain.id AND namespace = $1
             UNION ALL
            SELECT id FROM forgotten_memories WHERE $11 AND superseded_by = chain.id AND namespace = $1
         ) AS former
    )
    SELECT id, id NOT IN (SELECT id FROM selected) AS earlier FROM chain
"""
_CONTENTS: Final = """
    SELECT content FROM agent_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2
     UNION ALL
    SELECT stored ->> 'content' FROM forgotten_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2
"""
_FORGET: Final = """
    WITH deleted AS (
        DELETE FROM agent_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2 RETURNING *
    )
    INSERT INTO forgotten_memories (id, namespace, superseded_by, forgotten_at, stored)
    SELECT id, namespace, superseded_by, $3, to_jsonb(deleted) - '{content_hash,search}'::text[] FROM deleted
    RETURNING id
"""
# The data of a row are deleted wherever they are; that something was there, and when, stays in memory_events.
_ERASE: Final = """
    WITH live AS (
        DELETE FROM agent_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2 RETURNING id
    ), forgotten AS (
        DELETE FROM forgotten_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2 RETURNING id
    ), former AS (
        UPDATE memory_events SET former = NULL WHERE memory_id = ANY ($1::uuid[]) AND namespace = $2
    )
    SELECT id FROM live UNION ALL SELECT id FROM forgotten
"""
_ERASE_VECTORS: Final = "DELETE FROM embeddings WHERE content_hash = ANY ($1::bytea[]) OR model <> $2"
# A memory whose content was stored again meanwhile stays forgotten.
_RESTORE: Final = """
    WITH RECURSIVE chain AS (
        SELECT id FROM forgotten_memories WHERE id = ANY ($1::uuid[]) AND namespace = $2
         UNION
        SELECT former.id FROM chain JOIN forgotten_memories AS former ON former.superseded_by = chain.id
    ), restored AS (
        INSERT INTO agent_memories (
            id, sequence, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at,
            created_at, expires_at, superseded_by, superseded_at, version, ingested
        )
        OVERRIDING SYSTEM VALUE
        SELECT memory.id, memory.sequence, memory.namespace, memory.agent_id, memory.session_id, memory.kind,
               memory.content, memory.tags, memory.metadata, memory.importance, memory.occurred_at, memory.created_at,
               memory.expires_at, memory.superseded_by, memory.superseded_at, memory.version, memory.ingested
          FROM chain
          JOIN forgotten_memories AS forgotten USING (id)
         CROSS JOIN jsonb_populate_record(NULL::agent_memories, forgotten.stored) AS memory
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    DELETE FROM forgotten_memories USING restored WHERE forgotten_memories.id = restored.id RETURNING restored.id
"""
_IDS_BETWEEN: Final = """
    SELECT id FROM agent_memories WHERE namespace = $1 AND id BETWEEN $2 AND $3
     UNION
    SELECT id FROM forgotten_memories WHERE namespace = $1 AND id BETWEEN $2 AND $3
     UNION
    SELECT memory_id FROM memory_events WHERE namespace = $1 AND memory_id BETWEEN $2 AND $3
     ORDER BY id
     LIMIT $4
"""


class PostgresMemoryChanges:
    """The `MemoryChangeStore` port."""

    def __init__(self, database: Database, quotas: Quotas = NO_QUOTAS) -> None:
        self._database = database
        self._growth = Growth(database, quotas)

    @retried
    async def update(self, scope: Scope, change: MemoryChange, now: datetime) -> Changed:
        async with self._growth.transaction(scope.namespace) as connection:
            return await _update(connection, scope, change, now)

    async def targets(self, scope: Scope, selection: Selection, now: datetime, *, forgotten: bool) -> list[ToForget]:
        values = filter_values(scope.namespace, selection.filter or MemoryFilter(), now)
        async with self._database.within(scope.namespace).reading() as connection:
            rows = await connection.fetch(_TARGETS, *values, selection.memory_ids, forgotten)
        return [ToForget(row["id"], row["earlier"]) for row in rows]

    async def contents(self, scope: Scope, memory_ids: Sequence[UUID]) -> list[str]:
        async with self._database.within(scope.namespace).reading() as connection:
            return [row["content"] for row in await connection.fetch(_CONTENTS, memory_ids, scope.namespace)]

    @retried
    async def forget(self, scope: Scope, memory_ids: Sequence[UUID], now: datetime) -> set[UUID]:
        async with self._database.within(scope.namespace).transaction() as connection:
            rows = await connection.fetch(_FORGET, memory_ids, scope.namespace, now)
            return await _recorded(connection, scope, "forgotten", rows, now)

    @retried
    async def erase(self, scope: Scope, memory_ids: Sequence[UUID], vectors: ErasedVectors, now: datetime) -> set[UUID]:
        async with self._database.within(scope.namespace).transaction() as connection:
            rows = await connection.fetch(_ERASE, memory_ids, scope.namespace)
            await connection.execute(_ERASE_VECTORS, vectors.hashes, vectors.only_model)
            return await _recorded(connection, scope, "erased", rows, now)

    async def erase_vectors(self, vectors: ErasedVectors) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_ERASE_VECTORS, vectors.hashes, vectors.only_model)

    @retried
    async def restore(self, scope: Scope, memory_ids: Sequence[UUID], now: datetime) -> set[UUID]:
        async with self._growth.transaction(scope.namespace) as connection:
            rows = await connection.fetch(_RESTORE, memory_ids, scope.namespace)
            return await _recorded(connection, scope, "restored", rows, now)

    async def ids_between(self, namespace: str, low: UUID, high: UUID, limit: int) -> list[UUID]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_IDS_BETWEEN, namespace, low, high, limit)
        return [row["id"] for row in rows]

    async def history(self, namespace: str, memory_id: UUID) -> list[MemoryEvent]:
        async with self._database.within(namespace).reading() as connection:
            return await memory_events.history(connection, namespace, memory_id)

    async def prune(self, before: datetime) -> int:
        async with self._database.everything.connection() as connection:
            return await memory_events.prune(connection, before)


async def _recorded(
    connection: Connection, scope: Scope, event: EventName, rows: Sequence[Row], now: datetime
) -> set[UUID]:
    ids = {row["id"] for row in rows}
    await memory_events.record(connection, scope, event, sorted(ids), now)
    return ids


async def _update(connection: Connection, scope: Scope, change: MemoryChange, now: datetime) -> Changed:
    row = await connection.fetchrow(_LOCK, change.memory_id, scope.namespace, now)
    if row is None:
        return await _superseded_already(connection, scope, change)
    memory = memory_of(row)
    if change.if_version not in (None, memory.version):
        raise Conflict(
            f"This memory has version {memory.version}, not {change.if_version}: it was changed meanwhile. Read it "
            "with memory_ids, and repeat the change with its version if it is still right."
        )
    new = change.applied(memory)
    if new.content != memory.content:
        added = await add_in_place_of(connection, memory.memory_id, scope, new, now)
        return Changed(added.memory_id, added.version, changed=True, supersedes=memory.memory_id)
    return await _relabel(connection, scope, memory, new, now)


async def _superseded_already(connection: Connection, scope: Scope, change: MemoryChange) -> Changed:
    """Return the answer to a repeated change, whose first answer may have been lost; else raise `NotFound`."""
    row = await connection.fetchrow(_SUCCESSOR, change.memory_id, scope.namespace)
    if row is None:
        raise NotFound("memory_id: no live memory with this id in this namespace. Query for it first.")
    if row["content"] == change.content:
        return Changed(row["id"], row["version"], changed=False, supersedes=change.memory_id)
    raise NotFound(f"memory_id: this memory was superseded. Change {row['id']}, which replaced it.")


async def _relabel(connection: Connection, scope: Scope, memory: Memory, new: NewMemory, now: datetime) -> Changed:
    before = {name: getattr(memory, name) for name in _LABELS}
    after = {name: getattr(new, name) for name in _LABELS}
    replaced = memory_events.former(before, after)
    if not replaced:
        return Changed(memory.memory_id, memory.version, changed=False)
    if "session_id" in replaced and (same := await find(connection, replace(scope, agent_id=memory.agent_id), new)):
        raise Invalid(f"session_id: that session has the same content as memory_id {same['id']}. Forget one of them.")
    version = await connection.fetchval(_UPDATE, memory.memory_id, *after.values())
    await memory_events.record(connection, scope, "updated", [memory.memory_id], now, replaced)
    return Changed(memory.memory_id, version, changed=True)
