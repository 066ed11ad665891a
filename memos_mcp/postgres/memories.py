"""The record of memories in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

from memos_mcp.domain.errors import NotFound, StoreUnavailable
from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.memory import Added, ListKey, Memory, MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import UNAVAILABLE, Connection, Contended, Row
from memos_mcp.postgres.database import Database

ATTEMPTS: Final = 5
"""How often a store is repeated when another writer was in its way at the same moment."""

_Once: TypeAlias = tuple[str | None, bytes]
"""Session and content hash: what is stored once in a scope."""

# A live row is left as it is; an expired one is overwritten, because it is gone for everybody.
_INSERT: Final = """
    INSERT INTO agent_memories AS old (
        id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
        expires_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, $12), $12, $11)
    ON CONFLICT (namespace, content_hash, md5(agent_id), coalesce(md5(session_id), '')) WHERE superseded_by IS NULL
    DO UPDATE SET
        kind = excluded.kind, tags = excluded.tags, metadata = excluded.metadata, importance = excluded.importance,
        occurred_at = excluded.occurred_at, created_at = excluded.created_at, expires_at = excluded.expires_at
    WHERE old.expires_at <= $12
    RETURNING id, session_id, content_hash, version
"""
_FIND: Final = """
    SELECT id, session_id, content_hash, version
      FROM agent_memories
     WHERE namespace = $1
       AND content_hash = $2
       AND md5(agent_id) = md5($3)
       AND coalesce(md5(session_id), '') = coalesce(md5($4), '')
       AND superseded_by IS NULL
"""
_SUPERSEDE: Final = """
    UPDATE agent_memories
       SET superseded_by = $3
     WHERE id = $2
       AND namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $4)
    RETURNING id
"""
_CORRECT: Final = "UPDATE agent_memories SET superseded_by = $2 WHERE id = $1"
_GET: Final = """
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
       AND id = ANY ($10::uuid[])
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
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence
      FROM agent_memories
     WHERE id = ANY ($1::uuid[])
       AND superseded_by IS NULL
"""
_VERSIONS: Final = "SELECT id, version FROM agent_memories WHERE superseded_by IS NULL"


class PostgresMemories:
    """The `MemoryStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, scope: Scope, new: NewMemory, now: datetime) -> Added:
        for _ in range(ATTEMPTS):
            try:
                if new.supersedes is not None:
                    async with self._database.transaction() as connection:
                        return await _replace(connection, scope, new, new.supersedes, now)
                async with self._database.connection() as connection:
                    return await _add(connection, scope, new, uuid4(), now)
            except Contended:
                continue
        raise StoreUnavailable(UNAVAILABLE)

    async def add_many(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
        for _ in range(ATTEMPTS):
            try:
                async with self._database.transaction() as connection:
                    return await _add_many(connection, scope, new, now)
            except Contended:
                continue
        raise StoreUnavailable(UNAVAILABLE)

    async def get(self, namespace: str, ids: Sequence[UUID], filter: MemoryFilter, now: datetime) -> dict[UUID, Memory]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_GET, *_filter(namespace, filter, now), ids)
        return {row["id"]: _memory(row) for row in rows}

    async def newest(
        self, namespace: str, filter: MemoryFilter, after: ListKey | None, limit: int, now: datetime
    ) -> list[Memory]:
        place = (None, None) if after is None else (after.occurred_at, after.sequence)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_NEWEST, *_filter(namespace, filter, now), *place, limit)
        return [_memory(row) for row in rows]

    async def count(self, namespace: str, filter: MemoryFilter, now: datetime) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_COUNT, *_filter(namespace, filter, now)))

    async def text_search(
        self, namespace: str, text: str, filter: MemoryFilter, limit: int, now: datetime, *, waiting_only: bool
    ) -> list[Match]:
        statement = _SEARCH_WAITING if waiting_only else _SEARCH
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, *_filter(namespace, filter, now), text, limit)
        return [Match(row["id"], row["score"], Span(0, row["length"])) for row in rows]

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CURRENT, ids)
        return {row["id"]: _memory(row) for row in rows}

    async def versions(self) -> dict[UUID, int]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_VERSIONS)
        return {row["id"]: row["version"] for row in rows}


async def _add(connection: Connection, scope: Scope, new: NewMemory, memory_id: UUID, now: datetime) -> Added:
    """Store one; raise `Contended` when the row that was in the way is gone again."""
    row = await connection.fetchrow(_INSERT, *_values(scope, new, memory_id, now))
    if row is not None:
        return Added(row["id"], created=True, version=row["version"])
    row = await connection.fetchrow(_FIND, *_key(scope, new))
    if row is None:
        raise Contended(UNAVAILABLE)
    return Added(row["id"], created=False, version=row["version"])


async def _replace(connection: Connection, scope: Scope, new: NewMemory, old: UUID, now: datetime) -> Added:
    """Store one in place of another, which leaves the unique index first: both may have the same content."""
    memory_id = uuid4()
    if await connection.fetchrow(_SUPERSEDE, scope.namespace, old, memory_id, now) is None:
        raise NotFound("supersedes: no live memory with this id in this namespace. Query for it first.")
    added = await _add(connection, scope, new, memory_id, now)
    if added.memory_id != memory_id:
        await connection.execute(_CORRECT, old, added.memory_id)
    return added


async def _add_many(connection: Connection, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
    """Store a batch, in an order that all writers share, so that two batches cannot wait for each other."""
    first: dict[_Once, NewMemory] = {}
    for one in new:
        first.setdefault((one.session_id, one.content_hash), one)
    ordered = sorted(first.values(), key=lambda one: (one.content_hash, one.session_id or ""))
    rows = await connection.fetchmany(_INSERT, [_values(scope, one, uuid4(), now) for one in ordered])
    there = _by_content(rows, created=True)
    present = [_key(scope, one) for key, one in first.items() if key not in there]
    if present:
        there |= _by_content(await connection.fetchmany(_FIND, present), created=False)
    if len(there) < len(first):
        raise Contended(UNAVAILABLE)
    return [_answer(one, first, there) for one in new]


def _by_content(rows: Sequence[Row], *, created: bool) -> dict[_Once, Added]:
    return {(row["session_id"], row["content_hash"]): Added(row["id"], created, row["version"]) for row in rows}


def _answer(one: NewMemory, first: Mapping[_Once, NewMemory], there: Mapping[_Once, Added]) -> Added:
    """Return what became of one of a batch; only the first of equals can have been created."""
    key = (one.session_id, one.content_hash)
    return there[key] if one is first[key] else replace(there[key], created=False)


def _values(scope: Scope, new: NewMemory, memory_id: UUID, now: datetime) -> tuple[Any, ...]:
    return (
        memory_id,
        scope.namespace,
        scope.agent_id,
        new.session_id,
        new.kind,
        new.content,
        list(new.tags),
        new.metadata,
        new.importance,
        new.occurred_at,
        new.expires_at,
        now,
    )


def _key(scope: Scope, new: NewMemory) -> tuple[str, bytes, str, str | None]:
    return scope.namespace, new.content_hash, scope.agent_id, new.session_id


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
