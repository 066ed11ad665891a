"""Records in Postgres what happens to memories, in the transaction in which it happens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from memos_mcp.domain.memory import Memory
from memos_mcp.domain.memory_changes import EventName, MemoryEvent
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.postgres.connection import Connection, Row

_TIMES: Final = ("occurred_at", "expires_at")

_RECORD: Final = """
    INSERT INTO memory_events (memory_id, namespace, agent_id, client, client_version, transport, at, event, former)
    SELECT memory_id, $2, $3, $4, $5, $6, $7, $8, $9 FROM unnest($1::uuid[]) AS memory_id
"""
_HISTORY: Final = """
    SELECT memory_id, event, agent_id, client, client_version, transport, at, former
      FROM memory_events
     WHERE memory_id = $1
       AND namespace = $2
     ORDER BY sequence
"""
_FORMER: Final = """
    SELECT memory_id, former
      FROM memory_events
     WHERE memory_id = ANY ($1::uuid[])
       AND at > $2
       AND former IS NOT NULL
     ORDER BY sequence DESC
"""
# An erasure leaves nothing but its event.
_PRUNE: Final = """
    WITH pruned AS (DELETE FROM memory_events WHERE at < $1 AND event <> 'erased' RETURNING 1)
    SELECT count(*) FROM pruned
"""


def author(scope: Scope) -> tuple[str, str, str | None, str | None, str | None]:
    """Return the values of the columns namespace, agent_id, client, client_version and transport."""
    return scope.namespace, scope.agent_id, scope.client.name, scope.client.version, scope.client.transport


def former(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `old` that are others in `new`, as JSON."""
    return {name: _json(value) for name, value in old.items() if value != new[name]}


async def record(
    connection: Connection,
    scope: Scope,
    event: EventName,
    memory_ids: Sequence[UUID],
    now: datetime,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Record the same event of several memories; `values` are those that it replaced."""
    await connection.execute(_RECORD, memory_ids, *author(scope), now, event, values)


async def history(connection: Connection, namespace: str, memory_id: UUID) -> list[MemoryEvent]:
    """Return the events of a memory, oldest first."""
    return [_event(row) for row in await connection.fetch(_HISTORY, memory_id, namespace)]


async def as_then(connection: Connection, memories: Mapping[UUID, Memory], at: datetime) -> dict[UUID, Memory]:
    """Return the memories with the labels that they had at a time, as far as the history reaches."""
    then = dict(memories)
    for row in await connection.fetch(_FORMER, list(then), at):
        former = {name: _value(name, value) for name, value in row["former"].items()}
        then[row["memory_id"]] = replace(then[row["memory_id"]], **former)
    return then


async def prune(connection: Connection, before: datetime) -> int:
    """Delete events before a time, except erasures; return how many."""
    return int(await connection.fetchval(_PRUNE, before))


def _event(row: Row) -> MemoryEvent:
    client = Client(row["client"], row["client_version"], row["transport"])
    return MemoryEvent(row["memory_id"], row["event"], row["agent_id"], client, row["at"], row["former"] or {})


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in _TIMES and value is not None else value
