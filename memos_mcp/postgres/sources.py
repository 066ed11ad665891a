"""Stores in Postgres which files were ingested, and which memories are their chunks."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import anyio

from memos_mcp.domain.errors import StoreUnavailable, Unavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.quotas import NO_QUOTAS, Quotas
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import COMMITS, Replaced, StoredFile
from memos_mcp.domain.source_metadata import with_source, without_source
from memos_mcp.postgres.codecs import dump_json
from memos_mcp.postgres.connection import UNAVAILABLE, Connection, Contended, Row, translated
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.growth import Growth
from memos_mcp.postgres.memory_writes import add_many

TRIES: Final = 30
TRY_SECONDS: Final = 0.1
"""The server may hold the lock of a killed run for a moment."""

CLOSE_SECONDS: Final = 5.0

# The lock belongs to a transaction that is open while the run lasts, because a transaction pooler keeps no session
# locks. An open transaction between two statements delays no VACUUM, but limits of the server must not end it.
_NO_LIMITS: Final = """
    SELECT set_config(name, '0', true)
      FROM pg_settings
     WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock($1)"
# Two sources may share a memory, and one must not delete it while the other starts to use it. An insert locks the row
# that it conflicts with, and so does this before a deletion, in the same order: the second of the two waits, and
# then sees the other's file, or that the memory is deleted.
_LOCK_MEMORIES: Final = """
    SELECT id
      FROM agent_memories
     WHERE id = ANY ($1::uuid[])
     ORDER BY content_hash, coalesce(session_id, '')
       FOR UPDATE
"""
_DIGESTS: Final = """
    SELECT path, digest
      FROM ingested_files
     WHERE namespace = $1
       AND md5(agent_id) = md5($2)
       AND md5(source) = md5($3)
       AND starts_with(path, $4) = $5
"""
_MEMORY_IDS: Final = """
    SELECT DISTINCT unnest(memory_ids) AS id
      FROM ingested_files
     WHERE namespace = $1
       AND md5(agent_id) = md5($2)
       AND md5(source) = md5($3)
       AND md5(path) = ANY (SELECT md5(path) FROM unnest($4::text[]) AS path)
"""
# Excludes expired memories, which are hidden from everybody and therefore stored again. A superseded one is included,
# since a correction has replaced it.
_CHUNKS: Final = f"""
    WITH chunk AS MATERIALIZED ({_MEMORY_IDS})
    SELECT memory.id, memory.content_hash, memory.version, memory.ingested, memory.metadata
      FROM chunk
      JOIN agent_memories AS memory ON memory.id = chunk.id
     WHERE memory.expires_at IS NULL OR memory.expires_at > $5
"""  # noqa: S608 - composed of constants
_RECORD: Final = """
    INSERT INTO ingested_files (namespace, agent_id, source, path, digest, memory_ids, stored_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (namespace, md5(agent_id), md5(source), md5(path))
    DO UPDATE SET digest = excluded.digest, memory_ids = excluded.memory_ids, stored_at = excluded.stored_at
    RETURNING path
"""
_DELETE_FILES: Final = """
    DELETE FROM ingested_files
     WHERE namespace = $1
       AND md5(agent_id) = md5($2)
       AND md5(source) = md5($3)
       AND md5(path) = ANY (SELECT md5(path) FROM unnest($4::text[]) AS path)
"""
_ROWS: Final = """
    SELECT id, content_hash, version, ingested, metadata
      FROM agent_memories
     WHERE id = ANY ($1::uuid[])
"""
_DESCRIBE: Final = """
    UPDATE agent_memories AS memory
       SET metadata = described.metadata::jsonb
      FROM unnest($1::uuid[], $2::int[], $3::text[]) AS described (id, version, metadata)
     WHERE memory.id = described.id
       AND memory.version = described.version
       AND memory.ingested
    RETURNING memory.id
"""
_DELETE_MEMORIES: Final = """
    DELETE FROM agent_memories AS memory
     USING unnest($1::uuid[]) AS removed (id)
     WHERE memory.id = removed.id
       AND memory.ingested
       AND NOT EXISTS (SELECT FROM ingested_files WHERE memory_ids @> ARRAY[memory.id])
    RETURNING memory.id
"""
_REMAINING: Final = """
    SELECT memory.id, memory.version, memory.metadata, file.sources
      FROM agent_memories AS memory
     CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT source) AS sources
          FROM ingested_files
         WHERE memory_ids @> ARRAY[memory.id]
     ) AS file
     WHERE memory.id = ANY ($1::uuid[])
       AND memory.ingested
       AND file.sources IS NOT NULL
"""


class PostgresSources:
    """The `Sources` port, for the files of each source or for the commits of its history."""

    def __init__(self, database: Database, quotas: Quotas = NO_QUOTAS, *, history: bool = False) -> None:
        self._database = database
        self._growth = Growth(database, quotas)
        self._history = history

    @asynccontextmanager
    async def lock(self, scope: Scope, source: str) -> AsyncIterator[None]:
        # A dedicated connection: when this process dies, the server closes it and so releases the lock.
        connection = await self._database.dedicated_connection()
        try:
            await _lock(connection, scope, source)
            yield
        finally:
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable), translated():
                await connection.close(timeout=CLOSE_SECONDS)

    async def digests(self, scope: Scope, source: str) -> dict[str, bytes]:
        async with self._database.within(scope.namespace).reading() as connection:
            rows = await connection.fetch(_DIGESTS, scope.namespace, scope.agent_id, source, COMMITS, self._history)
        return {row["path"]: row["digest"] for row in rows}

    @retried
    async def replace(self, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime) -> Replaced:
        async with self._growth.transaction(scope.namespace) as connection:
            return await _replace(connection, scope, source, files, now)

    @retried
    async def remove(self, scope: Scope, source: str, paths: Sequence[str]) -> Replaced:
        async with self._database.within(scope.namespace).transaction() as connection:
            files = (scope.namespace, scope.agent_id, source, paths)
            memory_ids = [row["id"] for row in await connection.fetch(_MEMORY_IDS, *files)]
            await connection.execute(_LOCK_MEMORIES, memory_ids)
            await connection.execute(_DELETE_FILES, *files)
            return Replaced(removed=await _release(connection, memory_ids))


async def _lock(connection: Connection, scope: Scope, source: str) -> None:
    key = _key(scope.namespace, scope.agent_id, source)
    with translated():
        await connection.execute("BEGIN")
        await connection.execute(_NO_LIMITS)
        for _ in range(TRIES):
            if await connection.fetchval(_TRY_LOCK, key):
                return
            await anyio.sleep(TRY_SECONDS)
    raise Unavailable(f"Another run is ingesting {source}. Wait until it has finished, or stop it.")


async def _replace(
    connection: Connection, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime
) -> Replaced:
    paths = [file.path for file in files]
    rows = await connection.fetch(_CHUNKS, scope.namespace, scope.agent_id, source, paths, now)
    stored = {row["content_hash"]: row for row in rows}
    wanted: dict[bytes, NewMemory] = {}
    for new in (new for file in files for new in file.new):
        wanted.setdefault(new.content_hash, new)
    dropped = [stored[digest]["id"] for digest in stored.keys() - wanted.keys()]
    await connection.execute(_LOCK_MEMORIES, dropped)
    fresh = [new for digest, new in wanted.items() if digest not in stored]
    added = await add_many(connection, scope, fresh, now, ingested=True) if fresh else []
    shared = [one.memory_id for one in added if not one.created]
    await _describe(connection, await connection.fetch(_ROWS, shared) if shared else [], wanted)
    moved = await _describe(connection, [row for digest, row in stored.items() if digest in wanted], wanted)
    memory_ids = {digest: row["id"] for digest, row in stored.items()}
    memory_ids |= {new.content_hash: one.memory_id for new, one in zip(fresh, added, strict=True)}
    await connection.fetchmany(
        _RECORD,
        [
            (scope.namespace, scope.agent_id, source, file.path, file.digest, _ids(file, memory_ids), now)
            for file in files
        ],
    )
    removed = await _release(connection, dropped)
    created = sum(one.created for one in added)
    return Replaced(created, len(wanted) - created - moved, moved, removed)


async def _describe(connection: Connection, rows: Sequence[Row], wanted: Mapping[bytes, NewMemory]) -> int:
    """Update the metadata of existing chunks for their source; return how many. No vector depends on it."""
    described = [(row, with_source(row["metadata"], wanted[row["content_hash"]].metadata)) for row in rows]
    return await _update(connection, [(row, metadata) for row, metadata in described if row["ingested"]])


async def _update(connection: Connection, described: Sequence[tuple[Row, Mapping[str, Any]]]) -> int:
    """Write the metadata that differs; raise `Contended` if another source wrote some of it since it was read."""
    changed = [(row["id"], row["version"], metadata) for row, metadata in described if metadata != row["metadata"]]
    if not changed:
        return 0
    ids = [one for one, _, _ in changed]
    await connection.execute(_LOCK_MEMORIES, ids)
    texts = [dump_json(metadata) for _, _, metadata in changed]
    updated = await connection.fetch(_DESCRIBE, ids, [version for _, version, _ in changed], texts)
    if len(updated) < len(changed):
        raise Contended(UNAVAILABLE)
    return len(changed)


async def _release(connection: Connection, memory_ids: Sequence[UUID]) -> int:
    """Delete the memories among these that no file uses any more; return how many.

    The others name the sources that still have them.
    """
    ids = sorted(memory_ids)
    if not ids:
        return 0
    deleted = await connection.fetch(_DELETE_MEMORIES, ids)
    if len(deleted) < len(ids):
        rows = await connection.fetch(_REMAINING, ids)
        await _update(connection, [(row, without_source(row["metadata"], row["sources"])) for row in rows])
    return len(deleted)


def _ids(file: StoredFile, memory_ids: dict[bytes, UUID]) -> list[UUID]:
    return list(dict.fromkeys(memory_ids[new.content_hash] for new in file.new))


def _key(*names: str) -> int:
    """Return the key of the advisory lock for these names."""
    text = dump_json(["ingest", *names])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)
