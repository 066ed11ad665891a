"""The audit trail in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from memos_mcp.domain.audit import AuditQuery, AuditRecord
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database, retried

_ADD: Final = """
    INSERT INTO audit_records (
        at, namespace, agent_id, token_id, client, client_version, transport, tool, outcome, item_ids, request_id, calls
    )
    SELECT new.at, new.namespace, new.agent_id, new.token_id, new.client, new.client_version, new.transport, new.tool,
           new.outcome, new.item_ids, new.request_id, new.calls
      FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS line (record, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::audit_records, line.record) AS new
     ORDER BY line.position
"""
_FIND: Final = """
    SELECT at, namespace, agent_id, token_id, client, client_version, transport, tool, outcome, item_ids, request_id,
           calls
      FROM audit_trail
     WHERE ($1::text IS NULL OR namespace = $1 OR namespace IS NULL)
       AND ($2::timestamptz IS NULL OR at >= $2)
       AND ($3::timestamptz IS NULL OR at <= $3)
       AND ($4::text IS NULL OR agent_id = $4)
       AND ($5::text IS NULL OR tool = $5)
       AND ($6::text IS NULL OR outcome = $6)
     ORDER BY at DESC, sequence DESC
     LIMIT $7
"""
_PRUNE: Final = """
    WITH pruned AS (DELETE FROM audit_records WHERE at < $1 RETURNING 1) SELECT count(*) FROM pruned
"""


class PostgresAudit:
    """The `AuditStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retried
    async def add(self, records: Sequence[AuditRecord]) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_ADD, [_columns(record) for record in records])

    async def find(self, query: AuditQuery) -> list[AuditRecord]:
        values = (query.namespace, query.since, query.until, query.agent_id, query.tool, query.outcome, query.limit)
        async with self._database.everything.connection() as connection:
            return [_record(row) for row in await connection.fetch(_FIND, *values)]

    async def prune(self, before: datetime) -> int:
        async with self._database.everything.connection() as connection:
            return int(await connection.fetchval(_PRUNE, before))


def _columns(record: AuditRecord) -> dict[str, Any]:
    scope = record.scope
    by = {} if scope is None else {"namespace": scope.namespace, "agent_id": scope.agent_id, "token_id": scope.token_id}
    client = Client(transport=record.transport) if scope is None else scope.client
    return {
        **by,
        "at": record.at.isoformat(),
        "client": client.name,
        "client_version": client.version,
        "transport": client.transport,
        "tool": record.tool,
        "outcome": record.outcome,
        "item_ids": list(record.item_ids),
        "request_id": record.request_id,
        "calls": record.calls,
    }


def _record(row: Row) -> AuditRecord:
    client = Client(row["client"], row["client_version"], row["transport"])
    is_known = row["namespace"] is not None
    return AuditRecord(
        row["at"],
        Scope(row["namespace"], row["agent_id"], client, token_id=row["token_id"]) if is_known else None,
        row["tool"],
        row["outcome"],
        row["transport"],
        row["item_ids"],
        row["request_id"],
        row["calls"],
    )
