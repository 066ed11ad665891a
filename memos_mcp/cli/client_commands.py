"""The commands that connect the MCP clients of this system: their options."""

import argparse
from functools import partial
from typing import Final

from memos_mcp.cli import argument_types as types
from memos_mcp.cli.memory_commands import Command, Subparsers
from memos_mcp.domain.errors import Invalid

CLIENT_NAMES: Final = (
    "claude-code, claude-desktop, cursor, vscode, codex, gemini, zed, windsurf, continue, cline, opencode, goose"
)
"""Written here too, because the editors of their files would slow every command."""

OWN_SERVER: Final = ""
"""The value of `--http` without a URL."""


def add_client_commands(commands: Subparsers) -> None:
    """Add the commands to the command line."""
    install = commands.add_parser("install", help="connect an MCP client, or list the clients of this system")
    _add_client(install, nargs="?", more="; without it, the clients that were found are listed")
    install.add_argument("--namespace", type=types.name, help="the namespace that the client is bound to")
    install.add_argument(
        "--http", nargs="?", const=OWN_SERVER, metavar="URL", help="connect over HTTP: to this URL, or memos-as serve"
    )
    install.add_argument("--no-token", action="store_true", help="with --http: the client signs in with an issuer")
    install.add_argument("--hooks", action="store_true", help="also write its hooks, which recall at each prompt")
    install.add_argument(
        "--capture", action="store_true", help="with --hooks: keep the messages, without tokens and keys"
    )
    install.add_argument("--json", action="store_true", help="without a client: print the list as JSON")
    install.set_defaults(choose=_install)

    uninstall = commands.add_parser("uninstall", help="disconnect an MCP client")
    _add_client(uninstall, nargs=None, more="")
    uninstall.set_defaults(choose=_uninstall)


def _add_client(parser: argparse.ArgumentParser, *, nargs: str | None, more: str) -> None:
    parser.add_argument("client", nargs=nargs, metavar="CLIENT", help=f"{CLIENT_NAMES}{more}")
    parser.add_argument(
        "--scope", choices=("user", "project"), help="for all projects of this user (user), or for this folder"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the change, and write nothing")


def _install(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.installing import install_client, list_clients

    if arguments.client is None:
        if any((arguments.scope, arguments.namespace, arguments.hooks, arguments.dry_run, arguments.http is not None)):
            raise Invalid("Name the client to connect: memos-as install CLIENT. Without options, they are listed.")
        return partial(list_clients, as_json=arguments.json)
    if arguments.http is None and arguments.no_token:
        raise Invalid("--no-token is for --http.")
    if arguments.capture and not arguments.hooks:
        raise Invalid("--capture is for --hooks.")
    if arguments.http and arguments.hooks:
        raise Invalid("Hooks ask an engine of this machine, not a server at a URL. Leave out --hooks.")
    if arguments.http is not None and arguments.namespace:
        raise Invalid(
            "Over HTTP the namespace is that of the token: memos-as token create --namespace NAMESPACE makes one."
        )
    return partial(
        install_client,
        name=arguments.client,
        scope=arguments.scope or "user",
        namespace=arguments.namespace,
        url=arguments.http,
        sends_token=not arguments.no_token,
        hooks=arguments.hooks,
        captures=arguments.capture,
        dry_run=arguments.dry_run,
    )


def _uninstall(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.installing import uninstall_client

    return partial(uninstall_client, name=arguments.client, scope=arguments.scope or "user", dry_run=arguments.dry_run)
