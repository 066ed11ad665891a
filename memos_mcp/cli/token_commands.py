"""The command group for access tokens: its options."""

import argparse
from functools import partial

from memos_mcp.cli.argument_types import duration, name, rights
from memos_mcp.cli.memory_commands import Command, Subparsers


def add_token_commands(commands: Subparsers) -> None:
    """Add the commands to the command line."""
    group = commands.add_parser("token", help="make, list and revoke the access tokens of HTTP clients")
    actions = group.add_subparsers(metavar="COMMAND", required=True)
    create = actions.add_parser("create", help="make a token and print it, once")
    create.add_argument("--namespace", required=True, type=name, help="the namespace that its requests are bound to")
    create.add_argument("--agent", type=name, help="the agent that stores with it (MEMOS_AGENT_ID)")
    create.add_argument(
        "--rights", type=rights, help="comma-separated: read, write, tools and admin (read,write,tools)"
    )
    create.add_argument("--expires", type=duration, metavar="SPAN", help="how long it is accepted, such as 90d (ever)")
    create.add_argument("--note", metavar="TEXT", help="what it is for, or where it is kept")
    create.set_defaults(choose=_create)

    listing = actions.add_parser("list", help="list the tokens of all namespaces, without their secrets")
    listing.add_argument("--json", action="store_true", help="print the answer as JSON")
    listing.set_defaults(choose=_list)

    revoke = actions.add_parser("revoke", help="refuse a token from now on, in every engine within a second")
    revoke.add_argument("token", metavar="PREFIX|ID", help="its prefix or its id, as list shows them")
    revoke.set_defaults(choose=_revoke)


def _create(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_tokens import create_token

    return partial(
        create_token,
        namespace=arguments.namespace,
        agent=arguments.agent,
        rights=arguments.rights,
        expires=arguments.expires,
        note=arguments.note,
    )


def _list(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_tokens import list_tokens

    return partial(list_tokens, as_json=arguments.json)


def _revoke(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_tokens import revoke_token

    return partial(revoke_token, reference=arguments.token)
