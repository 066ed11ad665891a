"""The record of files that were taken in, and of the memories that stand for them, in Postgres."""

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
from memos_mcp.postgres.database import Database, repeated
from memos_mcp.postgres.memory_writes import add_many

TRIES: Final = 30
TRY_SECONDS: Final = 0.1
"""The turn of a run that was killed a moment ago may still be taken."""

CLOSE_SECONDS: Final = 5.0

_TRY_TURN: Final = "SELECT pg_try_advisory_lock($1)"
# Two sources of a scope may share a memory, and one must not remove it while the other comes to rely on it.
_WRITE_IN_TURN: Final = "SELECT pg_advisory_xact_lock($1)"
_KNOWN: Final = """
    SELECT path, digest
      FROM ingested_files
     WHERE namespace = $1
       AND md5(agent_id) = md5($2)
       AND md5(source) = md5($3)
"""
# Expired memories are gone for everybody, so they are stored anew; a superseded one is there, corrected by another.
_HELD: Final = """
    WITH held AS MATERIALIZED (
        SELECT DISTINCT unnest(memory_ids) AS id
          FROM ingested_files
         WHERE namespace = $1
           AND md5(agent_id) = md5($2)
           AND md5(source) = md5($3)
           AND md5(path) = ANY (SELECT md5(path) FROM unnest($4::text[]) AS path)
    )
    SELECT memory.id, memory.content_hash
      FROM held
      JOIN agent_memories AS memory ON memory.id = held.id
     WHERE memory.expires_at IS NULL OR memory.expires_at > $5
"""
_RECORD: Final = """
    INSERT INTO ingested_files (namespace, agent_id, source, path, digest, memory_ids, stored_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (namespace, md5(agent_id), md5(source), md5(path))
    DO UPDATE SET digest = excluded.digest, memory_ids = excluded.memory_ids, stored_at = excluded.stored_at
    RETURNING path
"""
_FORGET: Final = """
    DELETE FROM ingested_files
     WHERE namespace = $1
       AND md5(agent_id) = md5($2)
       AND md5(source) = md5($3)
       AND md5(path) = ANY (SELECT md5(path) FROM unnest($4::text[]) AS path)
    RETURNING memory_ids
"""
# A memory that several sources share tells the place in the one that it names.
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
_DELETE: Final = """
    DELETE FROM agent_memories AS memory
     USING unnest($1::uuid[]) AS gone (id)
     WHERE memory.id = gone.id
       AND memory.ingested
       AND NOT EXISTS (SELECT FROM ingested_files WHERE memory_ids @> ARRAY[memory.id])
    RETURNING memory.id
"""
# What is left of those that were to go, and named the source that they went from, now names one that has them still.
_HAND_OVER: Final = """
    UPDATE agent_memories AS memory
       SET metadata = jsonb_set(memory.metadata, '{source}', to_jsonb(other.source))
      FROM unnest($1::uuid[]) AS gone (id)
     CROSS JOIN LATERAL (
        SELECT min(source) AS source, coalesce(bool_or(source = $2), false) AS here
          FROM ingested_files
         WHERE memory_ids @> ARRAY[gone.id]
     ) AS other
     WHERE memory.id = gone.id
       AND memory.ingested
       AND memory.metadata ->> 'source' = $2
       AND other.source IS NOT NULL
       AND NOT other.here
"""


class PostgresSources:
    """The `Sources` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def turn(self, scope: Scope, source: str) -> AsyncIterator[None]:
        # A connection of its own: the lock is free as soon as this process is gone, however it went.
        connection = await self._database.listener()
        try:
            await _take_turn(connection, scope, source)
            yield
        finally:
            with anyio.CancelScope(shield=True), suppress(StoreUnavailable), translated():
                await connection.close(timeout=CLOSE_SECONDS)

    async def known(self, scope: Scope, source: str) -> dict[str, bytes]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_KNOWN, scope.namespace, scope.agent_id, source)
        return {row["path"]: row["digest"] for row in rows}

    @repeated
    async def replace(self, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime) -> Replaced:
        async with self._database.transaction() as connection:
            await connection.execute(_WRITE_IN_TURN, _key(scope.namespace, scope.agent_id))
            return await _replace(connection, scope, source, files, now)

    @repeated
    async def remove(self, scope: Scope, source: str, paths: Sequence[str]) -> Replaced:
        async with self._database.transaction() as connection:
            await connection.execute(_WRITE_IN_TURN, _key(scope.namespace, scope.agent_id))
            rows = await connection.fetch(_FORGET, scope.namespace, scope.agent_id, source, paths)
            held = {memory_id for row in rows for memory_id in row["memory_ids"]}
            return Replaced(removed=await _release(connection, source, held))


async def _take_turn(connection: Connection, scope: Scope, source: str) -> None:
    key = _key(scope.namespace, scope.agent_id, source)
    with translated():
        for _ in range(TRIES):
            if await connection.fetchval(_TRY_TURN, key):
                return
            await anyio.sleep(TRY_SECONDS)
    raise Unavailable(f"Another run takes in {source} just now. Wait until it has ended, or end it.")


async def _replace(
    connection: Connection, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime
) -> Replaced:
    paths = [file.path for file in files]
    rows = await connection.fetch(_HELD, scope.namespace, scope.agent_id, source, paths, now)
    held: dict[bytes, UUID] = {row["content_hash"]: row["id"] for row in rows}
    wanted: dict[bytes, NewMemory] = {}
    for new in (new for file in files for new in file.new):
        wanted.setdefault(new.content_hash, new)
    fresh = [new for digest, new in wanted.items() if digest not in held]
    added = await add_many(connection, scope, fresh, now, ingested=True) if fresh else []
    standing = held | {new.content_hash: one.memory_id for new, one in zip(fresh, added, strict=True)}
    moved = await _move(connection, source, {held[digest]: new for digest, new in wanted.items() if digest in held})
    place = (scope.namespace, scope.agent_id, source)
    await connection.fetchmany(_RECORD, [(*place, file.path, file.digest, _ids(file, standing), now) for file in files])
    removed = await _release(connection, source, [held[digest] for digest in held.keys() - wanted.keys()])
    created = sum(one.created for one in added)
    return Replaced(created, len(wanted) - created - moved, moved, removed)


async def _move(connection: Connection, source: str, kept: dict[UUID, NewMemory]) -> int:
    """Write down where the kept chunks stand now; return how many stood elsewhere. No vector depends on it."""
    ids = sorted(kept)
    rows = await connection.fetch(_MOVE, ids, [dump_json(kept[one].metadata) for one in ids], source)
    return len(rows)


async def _release(connection: Connection, source: str, held: Iterable[UUID]) -> int:
    """Delete those of these that stand for nothing any more; return how many."""
    ids = sorted(held)
    if not ids:
        return 0
    deleted = await connection.fetch(_DELETE, ids)
    if len(deleted) < len(ids):
        await connection.execute(_HAND_OVER, ids, source)
    return len(deleted)


def _ids(file: StoredFile, standing: dict[bytes, UUID]) -> list[UUID]:
    return list(dict.fromkeys(standing[new.content_hash] for new in file.new))


def _key(*names: str) -> int:
    """Return the advisory lock that these names stand for."""
    text = dump_json(["ingest", *names])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big", signed=True)
