"""The arguments of the command that shows the audit trail."""

import argparse
from collections.abc import Awaitable, Callable
from functools import partial

from memos_mcp.cli import argument_types as types
from memos_mcp.domain.audit import AUDIT_OUTCOMES, AuditQuery
from memos_mcp.settings import Settings

DEFAULT_LIMIT = 50
MAX_LIMIT = 100_000


def add_audit_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    audit = commands.add_parser("audit", help="show who called which tool, when, and with what outcome, newest first")
    add = audit.add_argument
    add("--since", type=types.time("since"), metavar="TIME", help="from this time or day on, in UTC without an offset")
    add("--until", type=types.time("until"), metavar="TIME", help="up to this time, or the end of this day")
    add("--agent", type=types.name, metavar="ID", help="only this agent")
    add("--tool", type=types.name, metavar="NAME", help="only this tool, or this change by a command")
    add("--outcome", choices=AUDIT_OUTCOMES, help="only this outcome")
    add("--limit", type=types.whole_number(1, MAX_LIMIT), default=DEFAULT_LIMIT, metavar="N", help="at most so many")
    add("--all-namespaces", action="store_true", help="of all namespaces, not only MEMOS_NAMESPACE")
    add("--json", action="store_true", help="print them as JSON")
    audit.set_defaults(choose=_audit)


def _audit(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.show_audit import audit

    query = AuditQuery(
        None, arguments.since, arguments.until, arguments.agent, arguments.tool, arguments.outcome, arguments.limit
    )
    return partial(audit, query=query, all_namespaces=arguments.all_namespaces, as_json=arguments.json)
