"""The arguments of the commands that take the record out of a home and into another: backup, restore, export."""

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from memos_mcp.settings import Settings


def add_record_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the command line."""
    backup = commands.add_parser("backup", help="write the record and the loadouts to one file, while servers run")
    backup.add_argument("file", type=Path, help="the file, or - for stdout; an earlier backup is replaced")
    backup.add_argument("--no-vectors", action="store_true", help="omit the embeddings, which a restore then computes")
    backup.set_defaults(choose=_backup)

    restore = commands.add_parser("restore", help="restore a backup into an empty home or database")
    restore.add_argument("file", type=Path, help="a file that `memos-as backup` wrote")
    restore.add_argument(
        "--replace", action="store_true", help="replace what the home has; its data folder is kept under another name"
    )
    restore.set_defaults(choose=_restore)

    export = commands.add_parser("export", help="write the namespace as JSON Lines, which import reads")
    export.add_argument("file", type=Path, nargs="?", default=Path("-"), help="the file (stdout)")
    export.add_argument("--all-namespaces", action="store_true", help="export all namespaces, not only MEMOS_NAMESPACE")
    export.add_argument("--vectors", action="store_true", help="export the embeddings, too: importing computes none")
    export.set_defaults(choose=_export)


def _backup(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.backing_up import backup

    return partial(backup, path=arguments.file, vectors=not arguments.no_vectors)


def _restore(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.restoring import restore

    return partial(restore, path=arguments.file, replace=arguments.replace)


def _export(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.exporting import export

    return partial(export, path=arguments.file, all_namespaces=arguments.all_namespaces, vectors=arguments.vectors)
