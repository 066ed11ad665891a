"""Stores memories in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.memory import Added, ListPosition, Memory, MemoryFilter, NewMemory, PartName, Versions
from memos_mcp.domain.quotas import NO_QUOTAS, Quotas
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.growth import Growth
from memos_mcp.postgres.memory_events import as_then
from memos_mcp.postgres.memory_rows import filter_values, memory_of
from memos_mcp.postgres.memory_writes import add, add_in_place_of, add_many

# OFFSET 0 makes the planner read rows by id: before the first ANALYZE it prefers other indexes. WITH ... MATERIALIZED
# would copy the rows.
_GET: Final = """
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence, superseded_by, superseded_at
      FROM (SELECT * FROM agent_memories WHERE id = ANY ($10::uuid[]) OFFSET 0) AS asked
     WHERE memory_matches(asked::agent_memories, $1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_NEWEST: Final = """
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence, superseded_by, superseded_at
      FROM agent_memories AS memory
     WHERE memory_matches(memory, $1, $2, $3, $4, $5, $6, $7, $8, $9)
       AND ($10::timestamptz IS NULL OR (occurred_at, sequence) < ($10, $11::bigint))
     ORDER BY occurred_at DESC, sequence DESC
     LIMIT $12
"""
_COUNT: Final = """
    SELECT count(*)
      FROM agent_memories AS memory
     WHERE memory_matches(memory, $1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_SEARCH: Final = """
    SELECT id, ts_rank(search, query, 1) AS score, char_length(content) AS length
      FROM agent_memories AS memory, any_word_of($10) AS query
     WHERE search @@ query
       AND memory_matches(memory, $1, $2, $3, $4, $5, $6, $7, $8, $9)
     ORDER BY score DESC, sequence DESC
     LIMIT $11
"""
# OFFSET 0 makes the planner read the queue first and each memory by id: the queue is nearly always empty, and then this
# costs nothing. Before the first ANALYZE it would read the namespace once for each queued row. During a load, only the
# newest of each priority are searched, so that a query does not read the whole load.
_SEARCH_QUEUED: Final = """
    SELECT queued.id, ts_rank(queued.search, query, 1) AS score, queued.length
      FROM any_word_of($10) AS query, (VALUES (0), (1)) AS level (priority)
     CROSS JOIN LATERAL (
        SELECT item_id
          FROM index_queue
         WHERE kind = 'memory'
           AND index_queue.priority = level.priority
         ORDER BY queued_at DESC
         LIMIT 1000
     ) AS newest
     CROSS JOIN LATERAL (
        SELECT id, search, sequence, char_length(content) AS length
          FROM (SELECT * FROM agent_memories WHERE id = newest.item_id OFFSET 0) AS memory
         WHERE memory_matches(memory::agent_memories, $1, $2, $3, $4, $5, $6, $7, $8, $9)
     ) AS queued
     WHERE queued.search @@ query
     ORDER BY score DESC, queued.sequence DESC
     LIMIT $11
"""
_EARLIER: Final = """
    WITH RECURSIVE chain AS (
        SELECT id, id AS latest FROM unnest($2::uuid[]) AS id
         UNION
        SELECT former.id, chain.latest
          FROM chain
          JOIN agent_memories AS former ON former.superseded_by = chain.id
         WHERE former.namespace = $1
    )
    SELECT latest, id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at,
           created_at, expires_at, version, sequence, superseded_by, superseded_at
      FROM chain
      JOIN agent_memories USING (id)
     WHERE id <> latest
     ORDER BY superseded_at, sequence
"""
_COPIES: Final = """
    SELECT content_hash, count(*) - 1 AS copies
      FROM agent_memories
     WHERE namespace = $1
       AND content_hash = ANY ($2::bytea[])
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $3)
     GROUP BY content_hash
"""
# Each name is looked up by itself, because the planner would read the whole source for all of them. A name with many
# definitions costs no more than the limit: what it means is uncertain anyway.
_DEFINED_IN: Final = """
    SELECT asked.source, asked.name, array_agg(DISTINCT defining.path) AS paths
      FROM unnest($3::text[], $4::text[], $5::jsonb[]) AS asked (source, name, json)
     CROSS JOIN LATERAL (
        SELECT part.metadata ->> 'path' AS path
          FROM (
            SELECT namespace, kind, superseded_by, expires_at, metadata
              FROM agent_memories
             WHERE metadata ? 'defines'
               AND metadata -> 'defines' @> asked.json
            OFFSET 0
          ) AS part
         WHERE part.namespace = $1
           AND part.metadata ->> 'source' = asked.source
           AND part.kind = 'document'
           AND part.superseded_by IS NULL
           AND (part.expires_at IS NULL OR part.expires_at > $2)
         LIMIT 16
     ) AS defining
     GROUP BY asked.source, asked.name
"""
_CURRENT: Final = """
    SELECT id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
           expires_at, version, sequence, superseded_by, superseded_at
      FROM (SELECT * FROM agent_memories WHERE id = ANY ($1::uuid[]) OFFSET 0) AS asked
     WHERE superseded_by IS NULL
"""

_MATCHES: Final[Mapping[Versions, str]] = {
    "live": "memory_matches", "then": "memory_matched_then", "all": "memory_matches_any"
}  # fmt: skip
"""The functions of the schema that decide which memories answer; all take the same parameters."""


def _for_versions(statement: str) -> Mapping[Versions, str]:
    return {versions: statement.replace("memory_matches", function) for versions, function in _MATCHES.items()}


_GETS: Final = _for_versions(_GET)
_LISTS: Final = _for_versions(_NEWEST)
_COUNTS: Final = _for_versions(_COUNT)
_SEARCHES: Final = _for_versions(_SEARCH)


class PostgresMemories:
    """The `MemoryStore` port."""

    def __init__(self, database: Database, quotas: Quotas = NO_QUOTAS) -> None:
        self._database = database
        self._growth = Growth(database, quotas)

    @retried
    async def add(self, scope: Scope, new: NewMemory, now: datetime) -> Added:
        if new.supersedes is not None:
            async with self._growth.transaction(scope.namespace) as connection:
                return await add_in_place_of(connection, new.supersedes, scope, new, now)
        async with self._growth.connection(scope.namespace) as connection:
            return await add(connection, scope, new, now)

    @retried
    async def add_many(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
        async with self._growth.transaction(scope.namespace) as connection:
            return await add_many(connection, scope, new, now)

    async def get(
        self, namespace: str, ids: Sequence[UUID], filter: MemoryFilter, now: datetime, versions: Versions = "live"
    ) -> dict[UUID, Memory]:
        async with self._database.within(namespace).lookup() as connection:
            rows = await connection.fetch(_GETS[versions], *filter_values(namespace, filter, now), ids)
            found = {row["id"]: memory_of(row) for row in rows}
            return await as_then(connection, found, now) if versions == "then" else found

    async def newest(
        self,
        namespace: str,
        filter: MemoryFilter,
        after: ListPosition | None,
        limit: int,
        now: datetime,
        versions: Versions = "live",
    ) -> list[Memory]:
        position = (None, None) if after is None else (after.occurred_at, after.sequence)
        values = filter_values(namespace, filter, now)
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_LISTS[versions], *values, *position, limit)
            listed = {row["id"]: memory_of(row) for row in rows}
            return list((await as_then(connection, listed, now) if versions == "then" else listed).values())

    async def count(self, namespace: str, filter: MemoryFilter, now: datetime, versions: Versions = "live") -> int:
        async with self._database.within(namespace).reading() as connection:
            return int(await connection.fetchval(_COUNTS[versions], *filter_values(namespace, filter, now)))

    async def text_search(
        self,
        namespace: str,
        text: str,
        filter: MemoryFilter,
        limit: int,
        now: datetime,
        versions: Versions = "live",
        *,
        queued_only: bool,
    ) -> list[Match]:
        statement = _SEARCH_QUEUED if queued_only else _SEARCHES[versions]
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(statement, *filter_values(namespace, filter, now), text, limit)
        return [Match(str(row["id"]), row["score"], Span(0, row["length"])) for row in rows]

    async def earlier(self, namespace: str, ids: Sequence[UUID]) -> dict[UUID, list[Memory]]:
        versions: dict[UUID, list[Memory]] = {}
        async with self._database.within(namespace).reading() as connection:
            for row in await connection.fetch(_EARLIER, namespace, ids):
                versions.setdefault(row["latest"], []).append(memory_of(row))
        return versions

    async def copies(self, namespace: str, hashes: Sequence[bytes], now: datetime) -> dict[bytes, int]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_COPIES, namespace, hashes, now)
        return {row["content_hash"]: row["copies"] for row in rows}

    async def defined_in(self, namespace: str, names: Sequence[PartName], now: datetime) -> dict[PartName, list[str]]:
        sources, defined = zip(*names, strict=True) if names else ((), ())
        async with self._database.within(namespace).lookup() as connection:
            rows = await connection.fetch(_DEFINED_IN, namespace, now, sources, defined, defined)
        return {(row["source"], row["name"]): row["paths"] for row in rows}

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        async with self._database.everything.lookup() as connection:
            rows = await connection.fetch(_CURRENT, ids)
        return {row["id"]: memory_of(row) for row in rows}
