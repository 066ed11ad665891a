"""The command that checks whether tools can be reached. It calls none."""

from collections.abc import Sequence

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json
from memos_mcp.cli.printable import field
from memos_mcp.composition.tool_calling import tool_setup
from memos_mcp.services.tool_checks import ToolChecks
from memos_mcp.settings import Settings
from memos_mcp.tool_calling.endpoint_probe import EndpointProbe


async def check_tools(settings: Settings, *, ids: Sequence[str], as_json: bool) -> int:
    """Print for each tool whether it can be reached; return 1 when one cannot, or is not registered."""
    async with opened_record(settings) as (app, scope):
        tools = [tool for tool in await app.tool_sources.every(scope) if tool.enabled or tool.tool_id in ids]
    chosen = [tool for tool in tools if not ids or tool.tool_id in ids]
    missing = [tool_id for tool_id in dict.fromkeys(ids) if tool_id not in {tool.tool_id for tool in tools}]
    setup = tool_setup(settings)
    async with setup.server_caller() as servers:
        checks = await ToolChecks(EndpointProbe(setup.allowed_hosts).problem, servers, setup.credentials).check(chosen)
    rows = [
        {"tool_id": check.tool.tool_id, "endpoint_url": check.tool.endpoint_url, "problem": check.problem}
        for check in checks
    ]
    if as_json:
        print_json({"tools": rows, "missing": missing})
    else:
        from memos_mcp.cli.source_table import print_checks

        print_checks(rows)
    for tool_id in missing:
        notice(f"{field(tool_id)} is not registered in namespace {scope.namespace}.")
    return 1 if missing or any(check.problem for check in checks) else 0
