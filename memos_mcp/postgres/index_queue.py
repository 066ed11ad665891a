"""The queue of items to index, in Postgres."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import anyio

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.index import ITEM_KINDS, ItemKind
from memos_mcp.domain.index_queue import Claim, Indexed, QueueState
from memos_mcp.postgres.connection import Connection, Row, discard, translated
from memos_mcp.postgres.database import Database, retried

CHANNEL: Final = "index_queue"
INDEXED_CHANNEL: Final = "indexed"
INDEXED_PER_PAYLOAD: Final = 64
"""Postgres limits a payload to 8,000 bytes, and each item takes about 65."""

MAX_REASON_CHARS: Final = 300
OUTAGE_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.5

# A lease is a timestamp, not a row lock: it outlives the transaction and never blocks a writer.
_CLAIM: Final = """
    UPDATE index_queue AS queued
       SET claimed_until = now() + $2::interval, attempts = attempts + 1
      FROM (
        SELECT kind, item_id
          FROM index_queue
         WHERE (claimed_until IS NULL OR claimed_until < now())
           AND (retry_at IS NULL OR retry_at < now())
         ORDER BY priority, queued_at
         LIMIT $1
           FOR UPDATE SKIP LOCKED
      ) AS due
     WHERE (queued.kind, queued.item_id) = (due.kind, due.item_id)
    RETURNING queued.kind, queued.item_id, queued.version, queued.attempts, queued.former_positions
"""
# Writers keep the rows that they mark locked until they commit, in any order, so a batch that waited for one row while
# it holds others could deadlock with them. Therefore a batch first handles the rows that are not locked, without
# waiting, and then each of the others in its own transaction.
_UNLOCKED: Final = """(
        SELECT done.kind, done.item_id, done.version
          FROM index_queue AS locked
          JOIN unnest($1::text[], $2::uuid[], $3::bigint[]) AS done (kind, item_id, version)
            ON (locked.kind, locked.item_id) = (done.kind, done.item_id)
           FOR UPDATE OF locked SKIP LOCKED
      )"""
_ANY: Final = "unnest($1::text[], $2::uuid[], $3::bigint[])"
# Finishing takes two statements, each in its own transaction. In a single one both parts would see the same snapshot,
# and an edit that commits in between would stay leased until the lease expires. _CLEAR runs first, also for rows that
# had to be waited for: a row that it does not delete already has another version, so that _HAND_BACK finds it.
_CLEAR: Final = """
    DELETE FROM index_queue AS queued
     USING {batch} AS done (kind, item_id, version)
     WHERE (queued.kind, queued.item_id, queued.version) = (done.kind, done.item_id, done.version)
    RETURNING queued.kind, queued.item_id
"""
# A changed version need not be greater: a writer draws its version before it locks the row.
_HAND_BACK: Final = """
    UPDATE index_queue AS queued
       SET claimed_until = NULL
      FROM {batch} AS done (kind, item_id, version)
     WHERE (queued.kind, queued.item_id) = (done.kind, done.item_id)
       AND queued.version <> done.version
    RETURNING queued.kind, queued.item_id
"""
_FAIL: Final = """
    UPDATE index_queue AS queued
       SET claimed_until = NULL,
           last_error = CASE WHEN queued.version = failed.version THEN $4 END,
           retry_at = CASE WHEN queued.version = failed.version THEN now() + $5::interval END
      FROM {batch} AS failed (kind, item_id, version)
     WHERE (queued.kind, queued.item_id) = (failed.kind, failed.item_id)
    RETURNING queued.kind, queued.item_id
"""
_RELEASE: Final = """
    UPDATE index_queue AS queued
       SET claimed_until = NULL,
           attempts = greatest(queued.attempts - CASE WHEN queued.version = released.version THEN 1 ELSE 0 END, 0)
      FROM {batch} AS released (kind, item_id, version)
     WHERE (queued.kind, queued.item_id) = (released.kind, released.item_id)
    RETURNING queued.kind, queued.item_id
"""
_DEFER: Final = f"""
    UPDATE index_queue AS queued
       SET claimed_until = NULL, retry_at = now() + late.wait
      FROM {_UNLOCKED} AS claimed
     CROSS JOIN LATERAL (
        SELECT namespace FROM agent_memories WHERE claimed.kind = 'memory' AND id = claimed.item_id
         UNION ALL
        SELECT namespace FROM registered_tools WHERE claimed.kind = 'tool' AND point_id = claimed.item_id
         UNION ALL
        SELECT namespace FROM past_tasks WHERE claimed.kind = 'task' AND id = claimed.item_id
     ) AS item
      JOIN unnest($4::text[], $5::interval[]) AS late (namespace, wait) USING (namespace)
     WHERE (queued.kind, queued.item_id) = (claimed.kind, claimed.item_id)
    RETURNING queued.item_id
"""  # noqa: S608 - composed of constants
_DUE: Final = """
    SELECT EXISTS (
        SELECT FROM index_queue
         WHERE (claimed_until IS NULL OR claimed_until < now())
           AND (retry_at IS NULL OR retry_at < now())
    )
"""
_RECLAIM: Final = "UPDATE index_queue SET claimed_until = NULL WHERE claimed_until IS NOT NULL"
_NOTIFY_INDEXED: Final = "SELECT pg_notify('indexed', $1)"
_QUEUED_IDS: Final = "SELECT item_id FROM index_queue WHERE kind = $1 AND item_id = ANY ($2::uuid[])"
_MARK: Final = """
    WITH marked AS (
        INSERT INTO index_queue (kind, item_id, priority)
        SELECT $1, item_id, 1
          FROM unnest($2::uuid[]) AS item_id
         GROUP BY item_id
         ORDER BY item_id
        ON CONFLICT (kind, item_id) DO UPDATE
            SET version = excluded.version, attempts = 0, retry_at = NULL, last_error = NULL
    )
    SELECT pg_notify('index_queue', '')
"""
_ALL: Final = """
    WITH marked AS (
        INSERT INTO index_queue (kind, item_id, priority)
        SELECT 'memory', id, 1 FROM agent_memories WHERE superseded_by IS NULL
        UNION ALL
        SELECT 'tool', point_id, 1 FROM registered_tools WHERE enabled
        UNION ALL
        SELECT 'task', id, 1 FROM past_tasks
        ON CONFLICT (kind, item_id) DO {conflict}
        RETURNING item_id
    )
    SELECT count(*) AS marked, pg_notify('index_queue', '') FROM marked
"""
_MARK_ALL: Final = _ALL.format(
    conflict="UPDATE SET version = excluded.version, attempts = 0, retry_at = NULL, last_error = NULL"
)
_MARK_REMAINING: Final = _ALL.format(conflict="NOTHING")
_STATE: Final = """
    SELECT count(*) FILTER (WHERE kind = 'memory') AS memory,
           count(*) FILTER (WHERE kind = 'tool') AS tool,
           count(*) FILTER (WHERE kind = 'task') AS task,
           count(*) FILTER (WHERE attempts = 0) AS untried,
           min(queued_at) AS oldest,
           (array_agg(last_error ORDER BY attempts DESC, queued_at) FILTER (WHERE last_error IS NOT NULL))[1]
               AS last_error
      FROM index_queue
"""


class PostgresIndexQueue:
    """The `IndexQueue` port. Only one task at a time may call `wait`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listener: Connection | None = None
        self._notified = anyio.Event()
        self._subscriber: Callable[[Sequence[Indexed]], None] = lambda _indexed: None

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]:
        rows = await self._run(_CLAIM, limit, lease)
        return [
            Claim(row["kind"], row["item_id"], row["version"], row["attempts"], row["former_positions"]) for row in rows
        ]

    async def finish(self, due: Sequence[Claim]) -> None:
        await self._settle((_CLEAR, _HAND_BACK), due)

    async def notify_indexed(self, indexed: Sequence[Indexed]) -> None:
        for start in range(0, len(indexed), INDEXED_PER_PAYLOAD):
            items = indexed[start : start + INDEXED_PER_PAYLOAD]
            await self._run(_NOTIFY_INDEXED, json.dumps([(kind, item.hex, version) for kind, item, version in items]))

    def subscribe(self, callback: Callable[[Sequence[Indexed]], None]) -> None:
        self._subscriber = callback

    async def fail(self, due: Sequence[Claim], reason: str, retry_in: timedelta) -> None:
        await self._settle((_FAIL,), due, reason[:MAX_REASON_CHARS], retry_in)

    async def release(self, due: Sequence[Claim]) -> None:
        await self._settle((_RELEASE,), due)

    async def defer(self, due: Sequence[Claim], waits: Mapping[str, timedelta]) -> set[UUID]:
        rows = await self._run(_DEFER, *_columns(due), list(waits), list(waits.values()))
        return {row["item_id"] for row in rows}

    async def reclaim(self) -> None:
        await self._run(_RECLAIM)

    async def queued_ids(self, kind: ItemKind, item_ids: Sequence[UUID]) -> set[UUID]:
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(_QUEUED_IDS, kind, item_ids)
        return {row["item_id"] for row in rows}

    async def mark(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None:
        await self._run(_MARK, kind, item_ids)

    async def mark_all(self) -> int:
        rows = await self._run(_MARK_ALL)
        return int(rows[0]["marked"])

    async def mark_remaining(self) -> None:
        await self._run(_MARK_REMAINING)

    async def state(self) -> QueueState:
        async with self._database.everything.connection() as connection:
            row = await connection.fetchrow(_STATE)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        depth: dict[ItemKind, int] = {kind: row[kind] for kind in ITEM_KINDS}
        return QueueState(depth, row["untried"], row["oldest"], row["last_error"])

    async def wait(self, seconds: float) -> None:
        if not self._database.has_sessions:
            await self._poll(seconds)
            return
        with anyio.move_on_after(seconds):
            if self._listener is None or self._listener.is_closed():
                # Items that were queued before this sent no notification here, so this wait ends at once.
                await self._listen()
            else:
                await self._notified.wait()
        if self._notified.is_set():
            self._notified = anyio.Event()
        elif self._listener is not None:
            await self._probe(self._listener)

    async def _settle(self, statements: Sequence[str], due: Sequence[Claim], *arguments: object) -> None:
        """Run these statements on all rows that are not locked, and then on each of the others alone."""
        remaining = list(due)
        for statement in statements:
            if not remaining:
                return
            rows = await self._run(statement.format(batch=_UNLOCKED), *_columns(remaining), *arguments)
            settled = {(row["kind"], row["item_id"]) for row in rows}
            remaining = [one for one in remaining if (one.kind, one.item_id) not in settled]
        for one in remaining:
            for statement in statements:
                await self._run(statement.format(batch=_ANY), *_columns([one]), *arguments)

    @retried
    async def _run(self, statement: str, *arguments: object) -> list[Row]:
        """Run one statement in its own transaction; retry it after a deadlock.

        A statement that holds no lock can be a victim too: it may wait between two writers that wait for each other.
        """
        async with self._database.everything.connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def _probe(self, listener: Connection) -> None:
        """Discard the connection if it no longer answers: a proxy or firewall may have dropped it silently."""
        try:
            with anyio.fail_after(PROBE_SECONDS), translated():
                await listener.execute("SELECT 1")
        except (StoreUnavailable, TimeoutError):
            self._listener = None
            discard(listener)

    async def _poll(self, seconds: float) -> None:
        """Wait until an item is due: a transaction pooler passes no notifications on."""
        with anyio.move_on_after(seconds), suppress(StoreUnavailable):
            while True:
                await anyio.sleep(POLL_SECONDS)
                async with self._database.everything.connection() as connection:
                    if await connection.fetchval(_DUE):
                        return

    async def _listen(self) -> None:
        try:
            listener = await self._database.dedicated_connection()
            try:
                with translated():
                    listener.add_termination_listener(self._wake)
                    await listener.add_listener(CHANNEL, self._wake)
                    await listener.add_listener(INDEXED_CHANNEL, self._on_indexed)
            except BaseException:  # a cancelled wait must not keep a connection that does not listen
                discard(listener)
                raise
            self._listener = listener
        except StoreUnavailable:
            await anyio.sleep(OUTAGE_SECONDS)

    def _wake(self, *_notification: object) -> None:
        self._notified.set()

    def _on_indexed(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._subscriber([Indexed(kind, UUID(item), version) for kind, item, version in json.loads(payload)])


def _columns(due: Sequence[Claim]) -> tuple[list[str], list[UUID], list[int]]:
    return [one.kind for one in due], [one.item_id for one in due], [one.version for one in due]
