"""The command that shows what happened to a memory, when, and through which agent and client."""

from typing import Any

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.memory_changes import MemoryEvent
from memos_mcp.mcp_server.memory_results import rfc3339
from memos_mcp.settings import Settings


async def history(settings: Settings, *, beginning: str, as_json: bool) -> int:
    """Print the events of a memory, oldest first; return 1 when none are recorded."""
    async with opened_record(settings) as (app, scope):
        memory_id = await app.memory_changes.resolve(scope, beginning)
        events = await app.memory_changes.history(scope, memory_id)
    rows = [_row_of(event) for event in events]
    if as_json:
        print_json({"memory_id": str(memory_id), "events": rows})
    else:
        from memos_mcp.cli.history_table import print_history

        print_history(rows)
    if not rows:
        notice(f"No event of {memory_id} is recorded in namespace {scope.namespace}.")
    return 0 if rows else 1


def _row_of(event: MemoryEvent) -> dict[str, Any]:
    return {
        "at": rfc3339(event.at),
        "event": event.event,
        "agent_id": event.agent_id,
        "client": event.client.name,
        "client_version": event.client.version,
        "transport": event.client.transport,
        "former": dict(event.former),
    }
