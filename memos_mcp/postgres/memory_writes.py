"""Stores memories: each content once per scope, also with concurrent writers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID, uuid4

from memos_mcp.domain.errors import NotFound
from memos_mcp.domain.memory import DEFAULT_IMPORTANCE, DEFAULT_KIND, Added, Labels, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.codecs import dump_json
from memos_mcp.postgres.connection import UNAVAILABLE, Connection, Contended, Row
from memos_mcp.postgres.memory_events import author, former, record

_TAGS: Final = 3
"""The position of the tags among the values that a client gives."""

_Once: TypeAlias = tuple[str | None, bytes]
"""Session and content hash: unique within a scope."""

_COLUMNS: Final = """
    INSERT INTO agent_memories AS old (
        id, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at, created_at,
        expires_at, ingested, sequence
    )
    OVERRIDING SYSTEM VALUE
"""
# A live row is not changed; an expired one is overwritten, because it is hidden from everybody.
_ONCE: Final = """
    ON CONFLICT (namespace, content_hash, md5(agent_id), coalesce(md5(session_id), '')) WHERE superseded_by IS NULL
    DO UPDATE SET
        kind = excluded.kind, tags = excluded.tags, metadata = excluded.metadata, importance = excluded.importance,
        occurred_at = excluded.occurred_at, created_at = excluded.created_at, expires_at = excluded.expires_at,
        ingested = excluded.ingested
    WHERE old.expires_at <= excluded.created_at
    RETURNING id, session_id, content_hash, version
"""
_INSERT: Final = f"""
    {_COLUMNS}
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, $12), $12, $11, false,
            nextval('agent_memories_sequence_seq'))
    {_ONCE}
"""
# Rows are inserted, and so locked, in the order of the arrays. A statement for each row takes twice as long.
_INSERT_MANY: Final = f"""
    {_COLUMNS}
    SELECT id, $1, $2, session_id, kind, content, ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)),
           metadata, importance,
           coalesce(occurred_at, $3::timestamptz), $3, expires_at, $4, number
      FROM unnest(
               $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::float8[],
               $12::timestamptz[], $13::timestamptz[], $14::bigint[]
           ) AS new (id, session_id, kind, content, tags, metadata, importance, occurred_at, expires_at, number)
    {_ONCE}
"""  # noqa: S608 - composed of constants
# One statement needs no transaction around it; a batch has one, and records its events at once, which is faster.
_INSERT_RECORDED: Final = f"""
    WITH stored AS ({_INSERT}), recorded AS (
        INSERT INTO memory_events (memory_id, namespace, event, agent_id, client, client_version, transport, at)
        SELECT id, $2, 'stored', $3, $13, $14, $15, $12 FROM stored
    )
    SELECT * FROM stored
"""  # noqa: S608 - composed of constants
_NUMBERS: Final = "SELECT nextval('agent_memories_sequence_seq') AS number FROM generate_series(1, $1) ORDER BY number"
_FIND: Final = """
    SELECT id, session_id, content_hash, version, ingested, kind, tags, metadata, importance, expires_at
      FROM agent_memories
     WHERE namespace = $1
       AND content_hash = $2
       AND md5(agent_id) = md5($3)
       AND coalesce(md5(session_id), '') = coalesce(md5($4), '')
       AND superseded_by IS NULL
"""
# A memory that belongs to files only is deleted with them, unless it is claimed before.
_CLAIM: Final = """
    WITH claimed AS (
        UPDATE agent_memories SET ingested = false WHERE id = ANY ($1::uuid[]) AND ingested RETURNING id
    ), recorded AS (
        INSERT INTO memory_events (memory_id, namespace, event, agent_id, client, client_version, transport, at)
        SELECT id, $2, 'stored', $3, $4, $5, $6, $7 FROM claimed
    )
    SELECT id FROM claimed
"""
_MERGE: Final = """
    WITH merged AS (
        UPDATE agent_memories
           SET kind = $8, tags = $9, metadata = $10, importance = $11, expires_at = $12
         WHERE id = $1
           AND version = $13
        RETURNING id, version
    ), recorded AS (
        INSERT INTO memory_events (
            memory_id, namespace, event, agent_id, client, client_version, transport, at, former
        )
        SELECT id, $2, 'merged', $3, $4, $5, $6, $7, $14 FROM merged
    )
    SELECT version FROM merged
"""
_SUPERSEDE: Final = """
    WITH superseded AS (
        UPDATE agent_memories
           SET superseded_by = $8, superseded_at = $7
         WHERE id = $1
           AND namespace = $2
           AND superseded_by IS NULL
           AND (expires_at IS NULL OR expires_at > $7)
        RETURNING id
    ), recorded AS (
        INSERT INTO memory_events (memory_id, namespace, event, agent_id, client, client_version, transport, at)
        SELECT id, $2, 'superseded', $3, $4, $5, $6, $7 FROM superseded
    )
    SELECT id FROM superseded
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
    """Store a memory; raise `Contended` when the conflicting row has been deleted meanwhile."""
    return await _add(connection, scope, new, uuid4(), now)


async def _add(connection: Connection, scope: Scope, new: NewMemory, memory_id: UUID, now: datetime) -> Added:
    row = await connection.fetchrow(
        _INSERT_RECORDED, memory_id, *author(scope)[:2], *_given(new), now, *author(scope)[2:]
    )
    if row is not None:
        return Added(row["id"], created=True, version=row["version"])
    row = await find(connection, scope, new)
    if row is None:
        raise Contended(UNAVAILABLE)
    await _claim(connection, scope, [row], now)
    return await _merge(connection, scope, row, [new], now)


async def find(connection: Connection, scope: Scope, new: NewMemory) -> Row | None:
    """Return the row that has this content in this scope and session already."""
    return await connection.fetchrow(_FIND, *_key(scope, new))


async def add_in_place_of(connection: Connection, old: UUID, scope: Scope, new: NewMemory, now: datetime) -> Added:
    """Store one in place of another, which leaves the unique index first: both may have the same content."""
    memory_id = uuid4()
    if await connection.fetchrow(_SUPERSEDE, old, *author(scope), now, memory_id) is None:
        row = await connection.fetchrow(_FIND_SUCCESSOR, *_key(scope, new), old)
        if row is not None:  # a repetition of an earlier call, whose answer may have been lost
            return Added(row["id"], created=False, version=row["version"])
        raise NotFound("supersedes: no live memory with this id in this namespace. Query for it first.")
    added = await _add(connection, scope, new, memory_id, now)
    if added.memory_id != memory_id:
        await connection.execute(_CORRECT, old, added.memory_id)
    return added


async def add_many(
    connection: Connection, scope: Scope, new: Sequence[NewMemory], now: datetime, *, ingested: bool = False
) -> list[Added]:
    """Store a batch, sorted as by all writers, so that two batches cannot deadlock.

    The sequence numbers, which order memories of the same instant such as the messages of a conversation, still follow
    the order of the batch. With `ingested`, the created memories belong to files and may be deleted with them.
    """
    first: dict[_Once, NewMemory] = {}
    for one in new:
        first.setdefault((one.session_id, one.content_hash), one)
    numbers = [row["number"] for row in await connection.fetch(_NUMBERS, len(first))]
    numbered = zip(first.values(), numbers, strict=True)
    ordered = sorted(numbered, key=lambda pair: (pair[0].content_hash, pair[0].session_id or ""))
    rows = await connection.fetch(_INSERT_MANY, *author(scope)[:2], now, ingested, *_columns(ordered)) if first else []
    if rows and not ingested:
        await record(connection, scope, "stored", [row["id"] for row in rows], now)
    stored = _by_content(rows, created=True)
    again = _again(new, first, stored)
    if again:
        keys = [_key(scope, first[once]) for once in again if once not in stored or not ingested]
        found = await connection.fetchmany(_FIND, keys)
        if not ingested:
            await _claim(connection, scope, found, now)
        for row in found:
            once = row["session_id"], row["content_hash"]
            added = await _merge(connection, scope, row, [] if ingested else again[once], now)
            stored[once] = replace(added, created=once in stored)
    if len(stored) < len(first):
        raise Contended(UNAVAILABLE)
    return [_answer(one, first, stored) for one in new]


def _again(
    new: Sequence[NewMemory], first: Mapping[_Once, NewMemory], created: Mapping[_Once, Added]
) -> dict[_Once, list[NewMemory]]:
    """Return the memories of a batch whose content is there already, also from the batch itself, as rows are locked."""
    again: dict[_Once, list[NewMemory]] = {}
    for one in new:
        once = one.session_id, one.content_hash
        if once not in created or one is not first[once]:
            again.setdefault(once, []).append(one)
    return dict(sorted(again.items(), key=lambda item: (item[0][1], item[0][0] or "")))


async def _merge(connection: Connection, scope: Scope, row: Row, new: Sequence[NewMemory], now: datetime) -> Added:
    """Add to an existing memory what is given with its content anew; raise `Contended` if it was changed meanwhile."""
    old = labels = Labels(row["kind"], row["tags"], row["metadata"], row["importance"], row["expires_at"])
    for one in new:
        labels = labels.merged(one)
    if labels == old:
        return Added(row["id"], created=False, version=row["version"])
    version = await connection.fetchval(
        _MERGE, row["id"], *author(scope), now, *astuple(labels), row["version"], former(asdict(old), asdict(labels))
    )
    if version is None:
        raise Contended(UNAVAILABLE)
    return Added(row["id"], created=False, version=version, merged=True)


async def _claim(connection: Connection, scope: Scope, rows: Sequence[Row], now: datetime) -> None:
    """Make ingested memories outlive their files; raise `Contended` if one was deleted meanwhile."""
    unclaimed = [row["id"] for row in rows if row["ingested"]]
    if unclaimed and len(await connection.fetch(_CLAIM, unclaimed, *author(scope), now)) < len(unclaimed):
        raise Contended(UNAVAILABLE)


def _by_content(rows: Sequence[Row], *, created: bool) -> dict[_Once, Added]:
    return {(row["session_id"], row["content_hash"]): Added(row["id"], created, row["version"]) for row in rows}


def _answer(one: NewMemory, first: Mapping[_Once, NewMemory], stored: Mapping[_Once, Added]) -> Added:
    """Return the result for one memory of a batch; of equal ones only the first can have been created."""
    key = (one.session_id, one.content_hash)
    return stored[key] if one is first[key] else replace(stored[key], created=False)


def _given(new: NewMemory) -> tuple[Any, ...]:
    """Return the values of the columns that a client gives, from session_id to expires_at."""
    return (
        new.session_id,
        new.kind or DEFAULT_KIND,
        new.content,
        list(new.tags),
        new.metadata,
        DEFAULT_IMPORTANCE if new.importance is None else new.importance,
        new.occurred_at,
        new.expires_at,
    )


def _columns(numbered: Sequence[tuple[NewMemory, int]]) -> list[Sequence[Any]]:
    """Return a new id, the given values and the number of each memory, by columns. Lists in a list are JSON as text."""
    columns: list[Sequence[Any]] = [list(column) for column in zip(*(_given(one) for one, _ in numbered), strict=True)]
    columns[_TAGS] = [dump_json(tags) for tags in columns[_TAGS]]
    return [[uuid4() for _ in numbered], *columns, [number for _, number in numbered]]


def _key(scope: Scope, new: NewMemory) -> tuple[str, bytes, str, str | None]:
    return scope.namespace, new.content_hash, scope.agent_id, new.session_id
