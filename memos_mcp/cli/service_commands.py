"""The command group for the server as a service of the user: its options."""

import argparse
from functools import partial

from memos_mcp.cli.memory_commands import Command, Subparsers


def add_service_commands(commands: Subparsers) -> None:
    """Add the commands to the command line."""
    group = commands.add_parser("service", help="run memos-as serve from your login on, by systemd or launchd")
    actions = group.add_subparsers(metavar="COMMAND", required=True)
    install = actions.add_parser("install", help="write the service, with the settings of this environment; start it")
    install.add_argument("--no-start", action="store_true", help="only write its file")
    install.add_argument("--dry-run", action="store_true", help="show the change, and write nothing")
    install.set_defaults(choose=_install)
    uninstall = actions.add_parser("uninstall", help="stop the service and remove it")
    uninstall.add_argument("--dry-run", action="store_true", help="show the change, and write nothing")
    uninstall.set_defaults(choose=_uninstall)


def _install(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.serving_at_login import install_service

    return partial(install_service, start=not arguments.no_start, dry_run=arguments.dry_run)


def _uninstall(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.serving_at_login import uninstall_service

    return partial(uninstall_service, dry_run=arguments.dry_run)
