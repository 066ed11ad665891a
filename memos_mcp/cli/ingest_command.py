"""The arguments of `memos-as ingest`."""

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from memos_mcp.cli.argument_types import ingest_pattern
from memos_mcp.settings import Settings


def add_ingest_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    ingest = commands.add_parser("ingest", help="ingest a folder of source code and documents; run it again to update")
    ingest.add_argument("folder", type=Path, help="files that git ignores, binaries and secrets are skipped")
    ingest.add_argument("--name", help="the name of the source (the folder's name)")
    ingest.add_argument("--dry-run", action="store_true", help="report the changes, and store nothing")
    ingest.add_argument("--watch", action="store_true", help="keep running, and ingest each change")
    ingest.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    ingest.add_argument("--list-skipped", action="store_true", help="list everything that was skipped, with the reason")
    ingest.add_argument("--json", dest="as_json", action="store_true", help="print each report as one line of JSON")
    ingest.add_argument(
        "--yes", action="store_true", help="also remove more than half of the source's files or commits"
    )
    ingest.add_argument(
        "--include",
        dest="patterns",
        type=ingest_pattern(include=True),
        action="append",
        default=[],
        metavar="PATTERN",
        help="ingest what would be skipped, but for secrets and what git ignores (.gitignore syntax; can be repeated)",
    )
    ingest.add_argument(
        "--exclude",
        dest="patterns",
        type=ingest_pattern(include=False),
        action="append",
        default=[],
        metavar="PATTERN",
        help="skip this; of --include and --exclude, the last one that matches a path counts",
    )
    ingest.add_argument(
        "--max-bytes",
        dest="ingest_max_bytes",
        type=int,
        metavar="BYTES",
        help="skip larger files (MEMOS_INGEST_MAX_BYTES, 1048576)",
    )
    ingest.add_argument("--history", action="store_true", help="ingest the commits too: why the files were changed")
    ingest.add_argument(
        "--since", metavar="WHEN", help="with --history: no commits before this time, or of this commit"
    )
    ingest.set_defaults(choose=_ingest)


def _ingest(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.ingesting import ingest

    return partial(
        ingest,
        path=arguments.folder,
        name=arguments.name,
        dry_run=arguments.dry_run,
        watch=arguments.watch,
        wait=not arguments.no_wait,
        list_skipped=arguments.list_skipped,
        as_json=arguments.as_json,
        confirmed=arguments.yes,
        patterns=arguments.patterns,
        history=arguments.history,
        since=arguments.since,
    )
