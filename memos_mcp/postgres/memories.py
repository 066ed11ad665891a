"""The record of memories in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.memory import Added, ListPosition, Memory, MemoryFilter, Neighbour, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database, repeated
from memos_mcp.postgres.memory_writes import add, add_in_place_of, add_many

# One by one, the turns of a batch's sessions might be taken in the opposite order of another batch's.
_TAKE_TURNS: Final = """
    SELECT take_turn(turn)
      FROM (
        SELECT DISTINCT session_turn($1, session_id) AS turn
          FROM unnest($2::text[]) AS session_id
         ORDER BY turn
      ) AS turns
"""
# Materialized, so that the rows are found by id: before the first ANALYZE the planner prefers other indexes.
_GET: Final = """
    WITH asked AS MATERIALIZED (
        SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
               expires_at, version, sequence, superseded_by
          FROM agent_memories
         WHERE id = ANY ($10::uuid[])
    )
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence
      FROM asked
     WHERE namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $2)
       AND ($3::text IS NULL OR kind = $3)
       AND ($4::text[] IS NULL OR tags @> $4)
       AND ($5::jsonb IS NULL OR metadata @> $5)
       AND ($6::text IS NULL OR session_id = $6)
       AND ($7::text IS NULL OR agent_id = $7)
       AND ($8::timestamptz IS NULL OR occurred_at >= $8)
       AND ($9::timestamptz IS NULL OR occurred_at <= $9)
"""
_NEWEST: Final = """
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence
      FROM agent_memories
     WHERE namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $2)
       AND ($3::text IS NULL OR kind = $3)
       AND ($4::text[] IS NULL OR tags @> $4)
       AND ($5::jsonb IS NULL OR metadata @> $5)
       AND ($6::text IS NULL OR session_id = $6)
       AND ($7::text IS NULL OR agent_id = $7)
       AND ($8::timestamptz IS NULL OR occurred_at >= $8)
       AND ($9::timestamptz IS NULL OR occurred_at <= $9)
       AND ($10::timestamptz IS NULL OR (occurred_at, sequence) < ($10, $11::bigint))
     ORDER BY occurred_at DESC, sequence DESC
     LIMIT $12
"""
_COUNT: Final = """
    SELECT count(*)
      FROM agent_memories
     WHERE namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $2)
       AND ($3::text IS NULL OR kind = $3)
       AND ($4::text[] IS NULL OR tags @> $4)
       AND ($5::jsonb IS NULL OR metadata @> $5)
       AND ($6::text IS NULL OR session_id = $6)
       AND ($7::text IS NULL OR agent_id = $7)
       AND ($8::timestamptz IS NULL OR occurred_at >= $8)
       AND ($9::timestamptz IS NULL OR occurred_at <= $9)
"""
_SEARCH: Final = """
    SELECT id, ts_rank(search, query, 1) AS score, char_length(content) AS length
      FROM agent_memories, any_word_of($10) AS query
     WHERE search @@ query
       AND namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $2)
       AND ($3::text IS NULL OR kind = $3)
       AND ($4::text[] IS NULL OR tags @> $4)
       AND ($5::jsonb IS NULL OR metadata @> $5)
       AND ($6::text IS NULL OR session_id = $6)
       AND ($7::text IS NULL OR agent_id = $7)
       AND ($8::timestamptz IS NULL OR occurred_at >= $8)
       AND ($9::timestamptz IS NULL OR occurred_at <= $9)
     ORDER BY score DESC, sequence DESC
     LIMIT $11
"""
# OFFSET 0 keeps the planner from starting at the memories: the queue is nearly always empty, then this costs nothing.
_SEARCH_WAITING: Final = """
    SELECT waiting.id, ts_rank(waiting.search, query, 1) AS score, waiting.length
      FROM any_word_of($10) AS query, index_queue
     CROSS JOIN LATERAL (
        SELECT id, search, sequence, char_length(content) AS length
          FROM agent_memories
         WHERE id = index_queue.item_id
           AND namespace = $1
           AND superseded_by IS NULL
           AND (expires_at IS NULL OR expires_at > $2)
           AND ($3::text IS NULL OR kind = $3)
           AND ($4::text[] IS NULL OR tags @> $4)
           AND ($5::jsonb IS NULL OR metadata @> $5)
           AND ($6::text IS NULL OR session_id = $6)
           AND ($7::text IS NULL OR agent_id = $7)
           AND ($8::timestamptz IS NULL OR occurred_at >= $8)
           AND ($9::timestamptz IS NULL OR occurred_at <= $9)
        OFFSET 0
     ) AS waiting
     WHERE index_queue.kind = 'memory'
       AND waiting.search @@ query
     ORDER BY score DESC, waiting.sequence DESC
     LIMIT $11
"""
_CURRENT: Final = """
    WITH asked AS MATERIALIZED (
        SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
               expires_at, version, sequence, superseded_by
          FROM agent_memories
         WHERE id = ANY ($1::uuid[])
    )
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence
      FROM asked
     WHERE superseded_by IS NULL
"""
# OFFSET 0 keeps the planner from any other way than by id: before the first ANALYZE it would read a whole namespace. Of
# a chunk's files the same one counts as for the marks, which is the first.
_NEIGHBOURS: Final = """
    WITH asked AS MATERIALIZED (
        SELECT id, namespace, session_id, occurred_at, sequence
          FROM (SELECT * FROM agent_memories WHERE id = ANY ($1::uuid[]) OFFSET 0) AS named
         WHERE superseded_by IS NULL
           AND expires_at IS NULL
    )
    SELECT asked.id, near.step, near.content
      FROM asked
     CROSS JOIN LATERAL (
        (SELECT -row_number() OVER (ORDER BY occurred_at DESC, sequence DESC) AS step, right(content, $3) AS content
           FROM agent_memories
          WHERE namespace = asked.namespace
            AND session_id = asked.session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) < (asked.occurred_at, asked.sequence)
          ORDER BY occurred_at DESC, sequence DESC
          LIMIT $2)
        UNION ALL
        (SELECT row_number() OVER (ORDER BY occurred_at, sequence), left(content, $3)
           FROM agent_memories
          WHERE namespace = asked.namespace
            AND session_id = asked.session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) > (asked.occurred_at, asked.sequence)
          ORDER BY occurred_at, sequence
          LIMIT $2)
     ) AS near
     WHERE asked.session_id IS NOT NULL
     UNION ALL
    SELECT asked.id, step, CASE WHEN step < 0 THEN right(near.content, $3) ELSE left(near.content, $3) END
      FROM asked
     CROSS JOIN LATERAL (
        SELECT memory_ids, array_position(memory_ids, asked.id) AS place
          FROM (SELECT * FROM ingested_files WHERE memory_ids @> ARRAY[asked.id] OFFSET 0) AS files
         WHERE namespace = asked.namespace
         ORDER BY source, path, agent_id
         LIMIT 1
     ) AS file
     CROSS JOIN generate_series(-$2, $2) AS step
     CROSS JOIN LATERAL (SELECT * FROM agent_memories WHERE id = memory_ids[place + step] OFFSET 0) AS near
     WHERE asked.session_id IS NULL
       AND step <> 0
       AND near.namespace = asked.namespace
       AND near.session_id IS NULL
       AND near.superseded_by IS NULL
       AND near.expires_at IS NULL
     ORDER BY step
"""
_VERSIONS: Final = "SELECT id, version FROM agent_memories WHERE superseded_by IS NULL"


class PostgresMemories:
    """The `MemoryStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @repeated
    async def add(self, scope: Scope, new: NewMemory, now: datetime) -> Added:
        if new.supersedes is not None:
            async with self._database.transaction() as connection:
                return await add_in_place_of(connection, new.supersedes, scope, new, now)
        async with self._database.connection() as connection:
            return await add(connection, scope, new, now)

    @repeated
    async def add_many(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
        sessions = sorted({one.session_id for one in new if one.session_id is not None})
        async with self._database.transaction() as connection:
            if sessions:
                await connection.execute(_TAKE_TURNS, scope.namespace, sessions)
            return await add_many(connection, scope, new, now)

    async def get(self, namespace: str, ids: Sequence[UUID], filter: MemoryFilter, now: datetime) -> dict[UUID, Memory]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_GET, *_filter(namespace, filter, now), ids)
        return {row["id"]: _memory(row) for row in rows}

    async def newest(
        self, namespace: str, filter: MemoryFilter, after: ListPosition | None, limit: int, now: datetime
    ) -> list[Memory]:
        place = (None, None) if after is None else (after.occurred_at, after.sequence)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_NEWEST, *_filter(namespace, filter, now), *place, limit)
        return [_memory(row) for row in rows]

    async def count(self, namespace: str, filter: MemoryFilter, now: datetime) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_COUNT, *_filter(namespace, filter, now)))

    async def text_search(
        self, namespace: str, text: str, filter: MemoryFilter, limit: int, now: datetime, *, queued_only: bool
    ) -> list[Match]:
        statement = _SEARCH_WAITING if queued_only else _SEARCH
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, *_filter(namespace, filter, now), text, limit)
        return [Match(row["id"], row["score"], Span(0, row["length"])) for row in rows]

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CURRENT, ids)
        return {row["id"]: _memory(row) for row in rows}

    async def neighbours(self, ids: Sequence[UUID], reach: int, max_chars: int) -> dict[UUID, list[Neighbour]]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_NEIGHBOURS, ids, reach, max_chars)
        found: dict[UUID, list[Neighbour]] = {}
        for row in rows:
            found.setdefault(row["id"], []).append(Neighbour(row["step"], row["content"]))
        return found

    async def versions(self) -> dict[UUID, int]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_VERSIONS)
        return {row["id"]: row["version"] for row in rows}


def _filter(namespace: str, filter: MemoryFilter, now: datetime) -> tuple[Any, ...]:
    """Return the parameters $1 to $9 of the statements that filter."""
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


def _memory(row: Row) -> Memory:
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
    )
