"""Stores in Postgres which files were ingested, and which memories are their chunks."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

import anyio

from memos_mcp.domain.errors import StoreUnavailable, Unavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, StoredFile
from memos_mcp.postgres.connection import Connection, dump_json, translated
from memos_mcp.postgres.database import Database, retried
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
    SELECT memory.id, memory.content_hash
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
# The metadata of a memory that several sources share describes its position in the source that it names.
_MOVE: Final = """
    UPDATE agent_memories AS memory
       SET metadata = moved.metadata::jsonb
      FROM unnest($1::uuid[], $2::text[]) AS moved (id, metadata)
     WHERE memory.id = moved.id
       AND memory.ingested
       AND memory.metadata ->> 'source' = $3
       AND memory.metadata <> moved.metadata::jsonb
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
# A memory that other sources still use, and that names the source it was removed from, then names one of the others.
_HAND_OVER: Final = """
    UPDATE agent_memories AS memory
       SET metadata = jsonb_set(memory.metadata, '{source}', to_jsonb(other.source))
      FROM unnest($1::uuid[]) AS removed (id)
     CROSS JOIN LATERAL (
        SELECT min(source) AS source, coalesce(bool_or(source = $2), false) AS in_source
          FROM ingested_files
         WHERE memory_ids @> ARRAY[removed.id]
     ) AS other
     WHERE memory.id = removed.id
       AND memory.ingested
       AND memory.metadata ->> 'source' = $2
       AND other.source IS NOT NULL
       AND NOT other.in_source
"""


class PostgresSources:
    """The `Sources` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        async with self._database.connection() as connection:
            rows = await connection.fetch(_DIGESTS, scope.namespace, scope.agent_id, source)
        return {row["path"]: row["digest"] for row in rows}

    @retried
    async def replace(self, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime) -> Replaced:
        async with self._database.transaction() as connection:
            return await _replace(connection, scope, source, files, now)

    @retried
    async def remove(self, scope: Scope, source: str, paths: Sequence[str]) -> Replaced:
        async with self._database.transaction() as connection:
            files = (scope.namespace, scope.agent_id, source, paths)
            memory_ids = [row["id"] for row in await connection.fetch(_MEMORY_IDS, *files)]
            await connection.execute(_LOCK_MEMORIES, memory_ids)
            await connection.execute(_DELETE_FILES, *files)
            return Replaced(removed=await _release(connection, source, memory_ids))


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
    stored: dict[bytes, UUID] = {row["content_hash"]: row["id"] for row in rows}
    wanted: dict[bytes, NewMemory] = {}
    for new in (new for file in files for new in file.new):
        wanted.setdefault(new.content_hash, new)
    dropped = [stored[digest] for digest in stored.keys() - wanted.keys()]
    await connection.execute(_LOCK_MEMORIES, dropped)
    fresh = [new for digest, new in wanted.items() if digest not in stored]
    added = await add_many(connection, scope, fresh, now, ingested=True) if fresh else []
    memory_ids = stored | {new.content_hash: one.memory_id for new, one in zip(fresh, added, strict=True)}
    moved = await _move(connection, source, {stored[digest]: new for digest, new in wanted.items() if digest in stored})
    await connection.fetchmany(
        _RECORD,
        [
            (scope.namespace, scope.agent_id, source, file.path, file.digest, _ids(file, memory_ids), now)
            for file in files
        ],
    )
    removed = await _release(connection, source, dropped)
    created = sum(one.created for one in added)
    return Replaced(created, len(wanted) - created - moved, moved, removed)


async def _move(connection: Connection, source: str, kept: dict[UUID, NewMemory]) -> int:
    """Update the metadata of chunks whose position changed; return how many. No vector depends on the position."""
    ids = sorted(kept)
    rows = await connection.fetch(_MOVE, ids, [dump_json(kept[one].metadata) for one in ids], source)
    return len(rows)


async def _release(connection: Connection, source: str, memory_ids: Iterable[UUID]) -> int:
    """Delete the memories among these that no file uses any more; return how many."""
    ids = sorted(memory_ids)
    if not ids:
        return 0
    deleted = await connection.fetch(_DELETE_MEMORIES, ids)
    if len(deleted) < len(ids):
        await connection.execute(_HAND_OVER, ids, source)
    return len(deleted)


def _ids(file: StoredFile, memory_ids: dict[bytes, UUID]) -> list[UUID]:
    return list(dict.fromkeys(memory_ids[new.content_hash] for new in file.new))


def _key(*names: str) -> int:
    """Return the key of the advisory lock for these names."""
    text = dump_json(["ingest", *names])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)
