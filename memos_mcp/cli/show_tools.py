"""The commands that search, list and show the tools of the toolbox.

A search asks the engine, as a client does. The others read the record, which has no limit of size.
"""

from collections.abc import Sequence
from typing import Any, Final

from memos_mcp.cli.engine_session import engine_session
from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.tool import Tool, ToolFilter, ToolQuery
from memos_mcp.settings import Settings

NOTHING_FOUND: Final = "No tool matches."


async def search_tools(
    _settings: Settings,
    *,
    needs: Sequence[str],
    required: Sequence[str] | None,
    agent_has: Sequence[str] | None,
    limit: int,
    as_json: bool,
) -> int:
    """Print the tools for these needs; return 0, also when there are none."""
    asked = {"queries": needs, "required_capabilities": required, "agent_capabilities": agent_has, "limit": limit}
    async with engine_session() as engine:
        from memos_mcp.cli.tool_table import print_tools  # while the bridge starts

        answer = await engine.call(
            "discover_tools", {name: value for name, value in asked.items() if value is not None}
        )
    if as_json:
        print_json(answer)
        return 0
    print_tools(answer["tools"], " ".join(needs))
    if answer["degraded"]:
        notice(answer["degraded"])
    if not answer["tools"]:
        notice(NOTHING_FOUND)
    _report_withheld(answer["withheld"])
    return 0


async def list_tools(
    settings: Settings, *, required: Sequence[str] | None, agent_has: Sequence[str] | None, limit: int, as_json: bool
) -> int:
    """Print the tools by name; return 0, also when there are none."""
    from memos_mcp.cli.opened_record import opened_record

    query = ToolQuery(filter=ToolFilter(required, agent_has), limit=limit)
    async with opened_record(settings) as (app, scope):
        page = await app.tools.discover(scope, query)
    rows = [row_of(hit.tool) for hit in page.hits]
    has_more = page.total > len(rows)
    if as_json:
        print_json({"tools": rows, "total": page.total, "has_more": has_more, "withheld": page.withheld})
        return 0
    from memos_mcp.cli.tool_table import print_tools

    print_tools(rows)
    if not rows:
        notice(NOTHING_FOUND)
    elif has_more:
        notice(f"Shown are {len(rows):,} of {page.total:,}; a greater --limit shows more.")
    _report_withheld(page.withheld)
    return 0


async def list_kept(settings: Settings, *, source: str | None, disabled: bool, limit: int, as_json: bool) -> int:
    """Print the tools of a source by their ids, or the disabled ones; return 0, also when there are none."""
    from memos_mcp.cli.opened_record import opened_record

    async with opened_record(settings) as (app, scope):
        kept = await app.tool_sources.every(scope)
    found = [tool for tool in kept if source in {None, tool.source} and tool.enabled != disabled]
    rows = [{**row_of(tool), "missing": tool.missing} for tool in found[:limit]]
    if as_json:
        print_json({"tools": rows, "total": len(found), "has_more": len(found) > limit})
        return 0
    from memos_mcp.cli.tool_table import print_tools

    print_tools(rows)
    if not rows:
        notice(NOTHING_FOUND)
    elif len(found) > limit:
        notice(f"Shown are {limit:,} of {len(found):,}; a greater --limit shows more.")
    return 0


async def show_tools(settings: Settings, *, ids: Sequence[str], as_json: bool) -> int:
    """Print these tools in full; return 1 when one of them is not registered."""
    from memos_mcp.cli.opened_record import opened_record

    async with opened_record(settings) as (app, scope):
        found = await app.tools.get(scope, ids)
    rows = [row_of(found[tool_id]) for tool_id in ids if tool_id in found]
    missing = [tool_id for tool_id in ids if tool_id not in found]
    if as_json:
        print_json({"tools": rows, "missing": missing})
    else:
        from memos_mcp.cli.tool_table import print_in_full

        print_in_full(rows)
    for tool_id in missing:
        notice(f"{tool_id} is not registered in namespace {scope.namespace}.")
    return 1 if missing else 0


def row_of(tool: Tool) -> dict[str, Any]:
    """Return a tool with the names that `discover_tools` gives its fields."""
    return {
        "tool_id": tool.tool_id,
        "name": tool.name,
        "description": tool.description,
        "endpoint_url": tool.endpoint_url,
        "method": tool.method,
        "auth": tool.auth,
        "source": tool.source,
        "required_capabilities": list(tool.required_capabilities),
        "request_schema": tool.request_schema,
        "response_schema": tool.response_schema,
        "version": tool.version,
    }


def _report_withheld(count: int) -> None:
    if count:
        notice(f"{count:,} withheld: they need more than the agent has.")
