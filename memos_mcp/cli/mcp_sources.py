"""The commands that add MCP servers as sources of tools, bring their tools up to date, and remove sources."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json
from memos_mcp.cli.printable import field
from memos_mcp.composition.tool_calling import tool_setup
from memos_mcp.domain.errors import Invalid, MemosError
from memos_mcp.domain.tool import check_endpoint
from memos_mcp.services.tool_sources import SourceReport, check_source, listed_tools
from memos_mcp.settings import Settings
from memos_mcp.tool_calling.private_file import FileUnusable
from memos_mcp.tool_calling.server_file import WrongServer, check_server
from memos_mcp.tool_calling.tool_servers import ToolServer

STATES: Final = ("added", "updated", "unchanged", "disabled")


async def add_mcp(settings: Settings, *, server: ToolServer, dry_run: bool, as_json: bool) -> int:
    """Register the tools of a server and keep it as a source; return 1 when one of the tools is refused.

    The server is kept only once it has listed its tools.
    """
    with _explained():
        check_server(server)
        if server.url is not None:
            check_endpoint(server.url)
        async with opened_record(settings) as (app, scope):
            check_source(server.name, await app.tool_sources.of_source(scope, server.name))
            async with tool_setup(settings).server_caller({server.name: server}.get, stderr=None) as servers:
                tools = await listed_tools(servers, server.name)
            if dry_run:
                report = await app.tool_sources.preview(scope, server.name, tools)
            else:
                tool_setup(settings).servers.put(server)
                report = await app.tool_sources.update(scope, server.name, tools)
    return _finish({server.name: report}, {}, as_json=as_json, dry_run=dry_run)


async def sync_sources(settings: Settings, *, names: Sequence[str], as_json: bool) -> int:
    """Bring the tools of servers up to date; return 1 when a server cannot be used, or one of its tools is refused."""
    reports: dict[str, SourceReport] = {}
    failures: dict[str, str] = {}
    with _explained():
        known = [server.name for server in tool_setup(settings).servers.all()]
        async with opened_record(settings) as (app, scope), tool_setup(settings).server_caller(stderr=None) as servers:
            for name in dict.fromkeys(names or known):
                try:
                    tools = await listed_tools(servers, name)
                except MemosError as error:
                    failures[name] = str(error)
                else:
                    reports[name] = await app.tool_sources.update(scope, name, tools)
    if not names and not known:
        notice("There are no MCP servers. Add one: memos-as tools add-mcp NAME -- COMMAND")
    return _finish(reports, failures, as_json=as_json)


async def remove_source(settings: Settings, *, name: str) -> int:
    """Unregister all tools of a source and forget it; return 1 when there is no such source."""
    with _explained():
        async with opened_record(settings) as (app, scope):
            removed = await app.tool_sources.remove(scope, name)
            others = await app.tool_sources.namespaces_of(name)
        known = tool_setup(settings).servers.get(name) is not None
        if known and not others:
            tool_setup(settings).servers.remove(name)
    if others:
        notice(f"{field(name)} is kept: {', '.join(map(field, others))} has tools of it.")
    if not removed and not known:
        notice(f"There is no source {field(name)} in namespace {scope.namespace}.")
        return 1
    notice(f"{field(name)}: {len(removed):,} unregistered.")
    return 0


def _finish(reports: dict[str, SourceReport], failures: dict[str, str], *, as_json: bool, dry_run: bool = False) -> int:
    if as_json:
        rows = [_json_of(name, report) for name, report in reports.items()]
        print_json({"sources": rows, "failures": failures, "dry_run": dry_run})
    else:
        from memos_mcp.cli.source_table import print_changes

        print_changes([row for report in reports.values() for row in _rows(report)])
    for name, report in reports.items():
        counts = [f"{len(getattr(report, state)):,} {state}" for state in STATES]
        refused = [f"{len(report.refused):,} refused"] if report.refused else []
        would = " (nothing was registered)" if dry_run else ""
        notice(f"{name}: {', '.join(counts + refused)}{would}.")
    for problem in failures.values():
        notice(problem)
    return 1 if failures or any(report.refused for report in reports.values()) else 0


def _rows(report: SourceReport) -> Iterator[dict[str, str]]:
    """Yield what changed, and what is refused with the reason."""
    for state in ("added", "updated", "disabled"):
        for tool_id in getattr(report, state):
            yield {"state": state, "tool_id": tool_id, "reason": ""}
    for tool_id, reason in report.refused.items():
        yield {"state": "refused", "tool_id": tool_id, "reason": reason}


def _json_of(name: str, report: SourceReport) -> dict[str, Any]:
    return {"name": name, **{state: getattr(report, state) for state in STATES}, "refused": report.refused}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (FileUnusable, WrongServer) as error:
        raise Invalid(str(error)) from None
