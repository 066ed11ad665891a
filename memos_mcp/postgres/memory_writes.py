"""How a memory gets into the record: once, also when several writers come at the same moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

from memos_mcp.domain.errors import NotFound
from memos_mcp.domain.memory import Added, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.connection import UNAVAILABLE, Connection, Contended, Row

_Once: TypeAlias = tuple[str | None, bytes]
"""Session and content hash: what is stored once in a scope."""

# A live row is left as it is; an expired one is overwritten, because it is gone for everybody.
_INSERT: Final = """
    INSERT INTO agent_memories AS old (
        id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
        expires_at, ingested, sequence
    )
    OVERRIDING SYSTEM VALUE
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, $12), $12, $11, $13,
            coalesce($14::bigint, nextval('agent_memories_sequence_seq')))
    ON CONFLICT (namespace, content_hash, md5(agent_id), coalesce(md5(session_id), '')) WHERE superseded_by IS NULL
    DO UPDATE SET
        kind = excluded.kind, tags = excluded.tags, metadata = excluded.metadata, importance = excluded.importance,
        occurred_at = excluded.occurred_at, created_at = excluded.created_at, expires_at = excluded.expires_at,
        ingested = excluded.ingested
    WHERE old.expires_at <= $12
    RETURNING id, session_id, content_hash, version
"""
_NUMBERS: Final = "SELECT nextval('agent_memories_sequence_seq') AS number FROM generate_series(1, $1) ORDER BY number"
_FIND: Final = """
    SELECT id, session_id, content_hash, version, ingested
      FROM agent_memories
     WHERE namespace = $1
       AND content_hash = $2
       AND md5(agent_id) = md5($3)
       AND coalesce(md5(session_id), '') = coalesce(md5($4), '')
       AND superseded_by IS NULL
"""
# What stands for files only goes when they do, unless it is claimed before.
_CLAIM: Final = "UPDATE agent_memories SET ingested = false WHERE id = ANY ($1::uuid[]) AND ingested RETURNING id"
_SUPERSEDE: Final = """
    UPDATE agent_memories
       SET superseded_by = $3
     WHERE id = $2
       AND namespace = $1
       AND superseded_by IS NULL
       AND (expires_at IS NULL OR expires_at > $4)
    RETURNING id
"""
_FIND_SUCCESSOR: Final = """
    SELECT successor.id, successor.version
      FROM agent_memories AS old
      JOIN agent_memories AS successor ON successor.id = old.superseded_by
     WHERE old.id = $5
       AND (old.namespace, successor.namespace) = ($1, $1)
       AND successor.content_hash = $2
       AND successor.agent_id = $3
       AND successor.session_id IS NOT DISTINCT FROM $4
       AND successor.superseded_by IS NULL
"""
_CORRECT: Final = "UPDATE agent_memories SET superseded_by = $2 WHERE id = $1"


async def add(connection: Connection, scope: Scope, new: NewMemory, now: datetime) -> Added:
    """Store one; raise `Contended` when the row that was in the way is gone again."""
    return await _add(connection, scope, new, uuid4(), now)


async def _add(connection: Connection, scope: Scope, new: NewMemory, memory_id: UUID, now: datetime) -> Added:
    row = await connection.fetchrow(_INSERT, *_values(scope, new, memory_id, now))
    if row is not None:
        return Added(row["id"], created=True, version=row["version"])
    row = await connection.fetchrow(_FIND, *_key(scope, new))
    if row is None:
        raise Contended(UNAVAILABLE)
    await _claim(connection, [row])
    return Added(row["id"], created=False, version=row["version"])


async def add_in_place_of(connection: Connection, old: UUID, scope: Scope, new: NewMemory, now: datetime) -> Added:
    """Store one in place of another, which leaves the unique index first: both may have the same content."""
    memory_id = uuid4()
    if await connection.fetchrow(_SUPERSEDE, scope.namespace, old, memory_id, now) is None:
        row = await connection.fetchrow(_FIND_SUCCESSOR, *_key(scope, new), old)
        if row is not None:  # this very call was made before, and its answer may have been lost
            return Added(row["id"], created=False, version=row["version"])
        raise NotFound("supersedes: no live memory with this id in this namespace. Query for it first.")
    added = await _add(connection, scope, new, memory_id, now)
    if added.memory_id != memory_id:
        await connection.execute(_CORRECT, old, added.memory_id)
    return added


async def add_many(
    connection: Connection, scope: Scope, new: Sequence[NewMemory], now: datetime, *, ingested: bool = False
) -> list[Added]:
    """Store a batch, in an order that all writers share, so that two batches cannot wait for each other.

    The numbers that order memories of one instant, such as the turns of a conversation, follow the batch all the same.
    `ingested`: the batch stands for files, so what it creates may go with them.
    """
    first: dict[_Once, NewMemory] = {}
    for one in new:
        first.setdefault((one.session_id, one.content_hash), one)
    numbered = zip(await connection.fetch(_NUMBERS, len(first)), first.values(), strict=True)
    ordered = sorted(numbered, key=lambda pair: (pair[1].content_hash, pair[1].session_id or ""))
    rows = await connection.fetchmany(
        _INSERT, [_values(scope, one, uuid4(), now, row["number"], ingested=ingested) for row, one in ordered]
    )
    there = _by_content(rows, created=True)
    present = [_key(scope, one) for key, one in first.items() if key not in there]
    if present:
        found = await connection.fetchmany(_FIND, present)
        if not ingested:
            await _claim(connection, found)
        there |= _by_content(found, created=False)
    if len(there) < len(first):
        raise Contended(UNAVAILABLE)
    return [_answer(one, first, there) for one in new]


async def _claim(connection: Connection, rows: Sequence[Row]) -> None:
    """Keep these for whoever stored them by hand; raise `Contended` when one went with its file at this moment."""
    unclaimed = [row["id"] for row in rows if row["ingested"]]
    if unclaimed and len(await connection.fetch(_CLAIM, unclaimed)) < len(unclaimed):
        raise Contended(UNAVAILABLE)


def _by_content(rows: Sequence[Row], *, created: bool) -> dict[_Once, Added]:
    return {(row["session_id"], row["content_hash"]): Added(row["id"], created, row["version"]) for row in rows}


def _answer(one: NewMemory, first: Mapping[_Once, NewMemory], there: Mapping[_Once, Added]) -> Added:
    """Return what became of one of a batch; only the first of equals can have been created."""
    key = (one.session_id, one.content_hash)
    return there[key] if one is first[key] else replace(there[key], created=False)


def _values(
    scope: Scope, new: NewMemory, memory_id: UUID, now: datetime, sequence: int | None = None, *, ingested: bool = False
) -> tuple[Any, ...]:
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
        ingested,
        sequence,
    )


def _key(scope: Scope, new: NewMemory) -> tuple[str, bytes, str, str | None]:
    return scope.namespace, new.content_hash, scope.agent_id, new.session_id
