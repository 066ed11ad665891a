"""The command that prints the completions of a shell."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from memos_mcp.cli.client_commands import CLIENT_NAMES
from memos_mcp.cli.memory_commands import Command, Subparsers
from memos_mcp.settings import Settings

SHELLS: Final = ("bash", "zsh", "fish", "tcsh", "powershell")


def add_completion_command(commands: Subparsers, whole: argparse.ArgumentParser) -> None:
    """Add the command to the command line; whole: the parser that is completed."""
    completion = commands.add_parser("completion", help="print a script that completes this command in a shell")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    completion.set_defaults(choose=partial(_completion, whole))


def _completion(whole: argparse.ArgumentParser, arguments: argparse.Namespace) -> Command:
    return partial(_print_script, whole=whole, shell=arguments.shell)


async def _print_script(_settings: Settings, *, whole: argparse.ArgumentParser, shell: str) -> int:
    import shtab

    for argument in _arguments(whole):
        if argument.dest == "client":
            argument.choices = CLIENT_NAMES.split(", ")
        elif argument.type is Path or argument.dest == "location":
            argument.complete = shtab.DIRECTORY if argument.dest == "folder" else shtab.FILE
    print(shtab.complete(whole, shell=shell))
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield the arguments of a parser and of its commands; shtab reads an attribute that argparse does not have."""
    for action in parser._actions:  # noqa: SLF001 - argparse lists them nowhere else
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            for command in action.choices.values():
                yield from _arguments(command)
