"""The commands for people that read the memory and the toolbox, and forget: their options, and what they stand for."""

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias, get_args
from uuid import UUID

from memos_mcp.cli import argument_types as types
from memos_mcp.cli.openapi_command import add_openapi_command
from memos_mcp.cli.tool_commands import ParserWithCommand, add_tool_changes
from memos_mcp.domain.memory import MemoryFilter, MemoryKind, MemoryQuery
from memos_mcp.settings import Settings

Command = Callable[[Settings], Awaitable[int]]
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name

MAX_FOUND: Final = 100
MAX_LISTED: Final = 1_000
MAX_TOOLS: Final = 50


def add_memory_commands(commands: Subparsers) -> None:
    """Add the commands that read, forget and restore memories, and those that read the toolbox."""
    _add_reading(commands)
    _add_forgetting(commands)
    _add_toolbox(commands)


def _add_reading(commands: Subparsers) -> None:
    search = commands.add_parser("search", help="find memories by meaning and words, best first")
    search.add_argument("query", type=types.question, help="what you want to know, in words")
    _add_filters(search)
    _add_limit(search, default=10, most=MAX_FOUND)
    search.add_argument("--min-score", type=types.unit, metavar="X", help="leave out weaker matches, from 0 to 1")
    search.add_argument(
        "--half-life-days", type=types.positive, metavar="DAYS", help="prefer the recent: a score halves with this age"
    )
    _add_versions(search)
    search.set_defaults(choose=_search)

    listing = commands.add_parser("list", help="list memories, newest first")
    _add_filters(listing)
    _add_limit(listing, default=20, most=MAX_LISTED)
    _add_versions(listing)
    listing.set_defaults(choose=_list)

    show = commands.add_parser("show", help="show memories in full")
    show.add_argument("ids", nargs="+", type=types.memory_id, metavar="ID", help="the id of a memory, or its beginning")
    _add_json(show)
    show.set_defaults(choose=_show)


def _add_forgetting(commands: Subparsers) -> None:
    forget = commands.add_parser("forget", help="take memories out of every answer, or erase them")
    forget.add_argument(
        "ids", nargs="*", type=types.memory_id, metavar="ID", help="the id of a memory, or its beginning"
    )
    _add_filters(forget)
    forget.add_argument("--erase", action="store_true", help="delete them for ever")
    forget.add_argument("--dry-run", action="store_true", help="show what would be forgotten")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    _add_json(forget)
    forget.set_defaults(choose=partial(_forget, forget))

    restore = commands.add_parser("restore-memory", help="restore forgotten memories")
    restore.add_argument("ids", nargs="+", type=types.memory_id, metavar="ID", help="the id, or its beginning")
    _add_json(restore)
    restore.set_defaults(choose=_restore)

    history = commands.add_parser("history", help="show what happened to a memory")
    history.add_argument("id", type=types.memory_id, metavar="ID", help="the id, or its beginning")
    _add_json(history)
    history.set_defaults(choose=_history)


def _add_toolbox(commands: Subparsers) -> None:
    tools = commands.add_parser("tools", help="find, list or change registered tools, and where they come from")
    actions = tools.add_subparsers(metavar="COMMAND", required=True, parser_class=ParserWithCommand)
    search = actions.add_parser("search", help="find tools for one or several needs, best first")
    search.add_argument("needs", nargs="+", type=types.question, metavar="NEED", help="what is to be done, in words")
    _add_capabilities(search)
    _add_limit(search, default=5, most=MAX_TOOLS)
    search.set_defaults(choose=_search_tools)

    listing = actions.add_parser("list", help="list tools by name")
    _add_capabilities(listing)
    listing.add_argument("--source", metavar="NAME", help="only those of this MCP server or OpenAPI document")
    listing.add_argument("--disabled", action="store_true", help="only those that agents do not find")
    _add_limit(listing, default=100, most=MAX_LISTED)
    listing.set_defaults(choose=partial(_list_tools, listing))

    show = actions.add_parser("show", help="show tools in full, with their schemas")
    show.add_argument("ids", nargs="+", type=types.name, metavar="TOOL_ID", help="the id of a tool")
    _add_json(show)
    show.set_defaults(choose=_show_tools)
    add_openapi_command(actions)
    add_tool_changes(actions)

    outcomes = actions.add_parser("outcomes", help="list the past tasks that tools were used for, newest first")
    outcomes.add_argument("words", nargs="?", type=types.question, metavar="WORDS", help="only tasks that contain this")
    _add_limit(outcomes, default=100, most=MAX_LISTED)
    outcomes.set_defaults(choose=_list_past_tasks)

    forget = actions.add_parser("forget-task", help="delete past tasks and all that was recorded of them")
    forget.add_argument("ids", nargs="+", type=UUID, metavar="TASK_ID", help="the id of a past task")
    forget.set_defaults(choose=_forget_past_tasks)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("filters, which apply together").add_argument
    add("--kind", choices=get_args(MemoryKind), help="only this kind")
    add("--tag", action="append", type=types.name, help="must have this tag; can be repeated")
    add(
        "--metadata",
        action="append",
        type=types.metadata,
        metavar="KEY=TEXT",
        help="must contain this; also KEY:=JSON or a JSON object; can be repeated",
    )
    add("--session-id", type=types.name, metavar="ID", help="only this session")
    add("--agent-id", type=types.name, metavar="ID", help="only what this agent stored")
    add("--since", type=types.time("since"), metavar="TIME", help="from this time or day on, in UTC without an offset")
    add("--until", type=types.time("until"), metavar="TIME", help="up to this time, or the end of this day")


def _add_versions(parser: argparse.ArgumentParser) -> None:
    add = parser.add_mutually_exclusive_group().add_argument
    add("--as-of", type=types.time("as_of"), metavar="TIME", help="answer by what was known then")
    add("--include-superseded", action="store_true", help="also corrected ones, and earlier versions")


def _add_capabilities(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("filters, which apply together").add_argument
    add("--requires", action="append", type=types.name, metavar="CAPABILITY", help="only tools that require this")
    add(
        "--has",
        action="append",
        type=types.name,
        metavar="CAPABILITY",
        help="what the agent has: tools that need more are withheld; can be repeated",
    )


def _add_limit(parser: argparse.ArgumentParser, *, default: int, most: int) -> None:
    number = types.whole_number(1, most)
    parser.add_argument("--limit", type=number, default=default, metavar="N", help=f"at most N ({default})")
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def _filter(arguments: argparse.Namespace) -> MemoryFilter:
    metadata: dict[str, Any] | None = None
    for part in arguments.metadata or ():
        metadata = (metadata or {}) | part
    return MemoryFilter(
        kind=arguments.kind,
        tags=arguments.tag,
        metadata=metadata,
        session_id=arguments.session_id,
        agent_id=arguments.agent_id,
        since=arguments.since,
        until=arguments.until,
    )


def _search(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_memories import search

    asked = replace(
        _query(arguments),
        text=arguments.query,
        min_score=arguments.min_score,
        half_life_days=arguments.half_life_days,
    )
    return partial(search, query=asked, as_json=arguments.json)


def _list(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_memories import list_memories

    return partial(list_memories, query=_query(arguments), as_json=arguments.json)


def _query(arguments: argparse.Namespace) -> MemoryQuery:
    return MemoryQuery(
        filter=_filter(arguments),
        limit=arguments.limit,
        as_of=arguments.as_of,
        include_superseded=arguments.include_superseded,
    )


def _show(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_memories import show

    return partial(show, ids=arguments.ids, as_json=arguments.json)


def _search_tools(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_tools import search_tools

    return partial(
        search_tools,
        needs=arguments.needs,
        required=arguments.requires,
        agent_has=arguments.has,
        limit=arguments.limit,
        as_json=arguments.json,
    )


def _list_tools(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_tools import list_kept, list_tools

    if arguments.source or arguments.disabled:
        if arguments.requires or arguments.has:
            parser.error("--source and --disabled do not go with --requires and --has")
        return partial(
            list_kept,
            source=arguments.source,
            disabled=arguments.disabled,
            limit=arguments.limit,
            as_json=arguments.json,
        )
    return partial(
        list_tools,
        required=arguments.requires,
        agent_has=arguments.has,
        limit=arguments.limit,
        as_json=arguments.json,
    )


def _show_tools(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_tools import show_tools

    return partial(show_tools, ids=arguments.ids, as_json=arguments.json)


def _list_past_tasks(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.past_tasks import list_past_tasks

    return partial(list_past_tasks, words=arguments.words, limit=arguments.limit, as_json=arguments.json)


def _forget_past_tasks(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.past_tasks import forget_past_tasks

    return partial(forget_past_tasks, ids=arguments.ids)


def _forget(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Command:
    conditions = _filter(arguments)
    if bool(arguments.ids) == (conditions != MemoryFilter()):
        parser.error("give either ids or at least one filter")
    from memos_mcp.cli.change_memories import Forgetting, forget

    wanted = Forgetting(
        ids=arguments.ids,
        filter=conditions,
        erase=arguments.erase,
        dry_run=arguments.dry_run,
        ask=not arguments.yes,
        as_json=arguments.json,
    )
    return partial(forget, wanted=wanted)


def _restore(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_memories import restore

    return partial(restore, ids=arguments.ids, as_json=arguments.json)


def _history(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_history import history

    return partial(history, beginning=arguments.id, as_json=arguments.json)
