"""The commands for people that change the toolbox, and the sources that tools come from: their options."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from memos_mcp.cli import argument_types as types
from memos_mcp.cli.command_parser import CommandParser
from memos_mcp.settings import Settings

Command = Callable[[Settings], Awaitable[int]]
ToolSubparsers: TypeAlias = "argparse._SubParsersAction[ParserWithCommand]"  # noqa: SLF001 - it has no public name


class ParserWithCommand(CommandParser):
    """Takes what follows `--` as a command with its arguments."""

    def parse_known_args(  # type: ignore[override]  # its overloads differ in the namespace, which is argparse's own
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        given = list(args or ())
        at = given.index("--") if "--" in given else len(given)
        parsed, surplus = super().parse_known_args(given[:at], namespace)
        parsed.command = given[at + 1 :]
        return parsed, surplus


def add_tool_changes(actions: ToolSubparsers) -> None:
    """Add the commands that change the toolbox to the group of `tools`."""
    _add_by_id(actions)
    _add_sources(actions)


def _add_by_id(actions: ToolSubparsers) -> None:
    for name, what in (
        ("enable", "have agents find tools again"),
        ("disable", "hide tools from agents, until they are enabled"),
        ("unregister", "delete tools"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("ids", nargs="+", type=types.name, metavar="TOOL_ID", help="the id of a tool")
        action.set_defaults(choose=partial(_change, name))

    check = actions.add_parser("check", help="check that tools can be reached, without calling them")
    check.add_argument("ids", nargs="*", type=types.name, metavar="TOOL_ID", help="the id of a tool (all of them)")
    _add_json(check)
    check.set_defaults(choose=_check)


def _add_sources(actions: ToolSubparsers) -> None:
    add = actions.add_parser(
        "add-mcp",
        help="register the tools of an MCP server",
        usage="memos-as tools add-mcp NAME [options] (--url URL | -- COMMAND [ARGUMENT...])",
    )
    add.add_argument("name", metavar="NAME", help="the name of the server; its tools are NAME.tool")
    add.add_argument("--url", help="where it serves streamable HTTP; without it, a command follows --")
    add.add_argument("--auth", metavar="CREDENTIAL", help="the credential for the URL")
    add.add_argument(
        "--env", action="append", default=[], metavar="VARIABLE", help="pass this variable on; can be repeated"
    )
    add.add_argument("--dry-run", action="store_true", help="list the tools, and register nothing")
    _add_json(add)
    add.set_defaults(choose=partial(_add_mcp, add))

    sync = actions.add_parser("sync", help="bring the tools of MCP servers up to date")
    sync.add_argument("names", nargs="*", metavar="NAME", help="the name of a server (all of them)")
    _add_json(sync)
    sync.set_defaults(choose=_sync)

    remove = actions.add_parser("remove", help="unregister all tools of a source, and forget the source")
    remove.add_argument("name", metavar="NAME", help="the name of an MCP server or an OpenAPI document")
    remove.set_defaults(choose=_remove)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def _change(name: str, arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_tools import set_enabled, unregister

    if name == "unregister":
        return partial(unregister, ids=arguments.ids)
    return partial(set_enabled, ids=arguments.ids, enabled=name == "enable")


def _check(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.checking_tools import check_tools

    return partial(check_tools, ids=arguments.ids, as_json=arguments.json)


def _add_mcp(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Command:
    if bool(arguments.url) == bool(arguments.command):
        parser.error("give either --url URL, or -- and the command that starts the server")
    if arguments.auth and not arguments.url:
        parser.error("--auth is for --url. A command is given its secrets by --env")
    if arguments.env and not arguments.command:
        parser.error("--env is for a command. A URL is given a credential by --auth")
    from memos_mcp.cli.mcp_sources import add_mcp
    from memos_mcp.tool_calling.tool_servers import ToolServer

    server = ToolServer(
        arguments.name,
        tuple(arguments.command),
        tuple(dict.fromkeys(arguments.env)),
        arguments.url,
        arguments.auth,
    )
    return partial(add_mcp, server=server, dry_run=arguments.dry_run, as_json=arguments.json)


def _sync(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.mcp_sources import sync_sources

    return partial(sync_sources, names=arguments.names, as_json=arguments.json)


def _remove(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.mcp_sources import remove_source

    return partial(remove_source, name=arguments.name)
