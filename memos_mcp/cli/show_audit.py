"""The command that shows the audit trail."""

from dataclasses import replace
from typing import Any

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.audit import AuditQuery, AuditRecord
from memos_mcp.mcp_server.memory_results import rfc3339
from memos_mcp.settings import Settings


async def audit(settings: Settings, *, query: AuditQuery, all_namespaces: bool, as_json: bool) -> int:
    """Print the records that fit, newest first."""
    async with opened_record(settings) as (app, scope):
        found = await app.audit.find(query if all_namespaces else replace(query, namespace=scope.namespace))
    rows = [_row_of(record) for record in found]
    if as_json:
        print_json({"records": rows})
    else:
        from memos_mcp.cli.audit_table import print_audit

        print_audit(rows)
    if not rows:
        notice("No record fits." if settings.audit != "off" else "No record fits, and MEMOS_AUDIT is off.")
    return 0


def _row_of(record: AuditRecord) -> dict[str, Any]:
    scope = record.scope
    client = None if scope is None else scope.client
    return {
        "at": rfc3339(record.at),
        "tool": record.tool,
        "outcome": record.outcome,
        "namespace": None if scope is None else scope.namespace,
        "agent_id": None if scope is None else scope.agent_id,
        "token_id": None if scope is None else scope.token_id,
        "client": None if client is None else client.name,
        "client_version": None if client is None else client.version,
        "transport": record.transport,
        "item_ids": list(record.item_ids),
        "request_id": record.request_id,
        "calls": record.calls,
    }
