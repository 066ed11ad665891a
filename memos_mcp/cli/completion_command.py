"""The command that prints the completions of a shell."""

import argparse
from functools import partial
from typing import Final

from memos_mcp.cli.memory_commands import Command, Subparsers
from memos_mcp.settings import Settings

SHELLS: Final = ("bash", "zsh", "tcsh")


def add_completion_command(commands: Subparsers, whole: argparse.ArgumentParser) -> None:
    """Add the command to the command line; whole: the parser that is completed."""
    completion = commands.add_parser("completion", help="print a script that completes this command in a shell")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    completion.set_defaults(choose=partial(_completion, whole))


def _completion(whole: argparse.ArgumentParser, arguments: argparse.Namespace) -> Command:
    return partial(_print_script, whole=whole, shell=arguments.shell)


async def _print_script(_settings: Settings, *, whole: argparse.ArgumentParser, shell: str) -> int:
    import shtab

    print(shtab.complete(whole, shell=shell))
    return 0
