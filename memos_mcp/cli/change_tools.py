"""The commands that enable, disable and unregister tools. They change the record, and a running engine follows."""

from collections.abc import Sequence

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_lines
from memos_mcp.cli.printable import field
from memos_mcp.domain.scope import Scope
from memos_mcp.settings import Settings


async def set_enabled(settings: Settings, *, ids: Sequence[str], enabled: bool) -> int:
    """Enable or disable tools; return 1 when one of them is not registered."""
    async with opened_record(settings) as (app, scope):
        done = await app.tool_sources.set_enabled(scope, ids, enabled=enabled)
    return _finish(ids, done, scope)


async def unregister(settings: Settings, *, ids: Sequence[str]) -> int:
    """Delete tools; return 1 when one of them is not registered."""
    async with opened_record(settings) as (app, scope):
        done = await app.tools.unregister(scope, ids)
    return _finish(ids, done, scope)


def _finish(ids: Sequence[str], done: Sequence[str], scope: Scope) -> int:
    print_lines(map(field, sorted(done)))
    missing = [tool_id for tool_id in dict.fromkeys(ids) if tool_id not in done]
    for tool_id in missing:
        notice(f"{field(tool_id)} is not registered in namespace {scope.namespace}.")
    return 1 if missing else 0
