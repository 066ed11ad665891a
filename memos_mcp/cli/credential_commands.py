"""The command group for credentials: its options, and how a secret is read, which is never from an argument."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from getpass import getpass
from typing import Any, Final, NoReturn, TypeAlias

from pydantic import SecretStr

from memos_mcp.cli.command_parser import CommandParser
from memos_mcp.cli.console import printable
from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings

Command = Callable[[Settings], Awaitable[int]]
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name

NEVER_AN_ARGUMENT: Final = (
    "a secret is never an argument, which other users could see. Leave it out: it is asked for, or read from stdin"
)


class _SecretsAsideParser(CommandParser):
    """Reports surplus arguments without repeating them: they may be a secret."""

    def parse_known_args(  # type: ignore[override]  # its overloads differ in the namespace, which is argparse's own
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        parsed, surplus = super().parse_known_args(args, namespace)
        if surplus:
            self.error(NEVER_AN_ARGUMENT)
        return parsed, surplus

    def error(self, message: str) -> NoReturn:
        super().error(NEVER_AN_ARGUMENT if "explicit argument" in message else message)


def add_credential_commands(commands: Subparsers) -> None:
    """Add the commands to the command line."""
    group = commands.add_parser("credential", help="keep the secrets that tools are called with")
    actions = group.add_subparsers(metavar="COMMAND", required=True, parser_class=_SecretsAsideParser)
    put = actions.add_parser("set", help="add or replace a credential; its secret is asked for, or read from stdin")
    put.add_argument("name", metavar="NAME", help="the name by which tools refer to it")
    put.add_argument(
        "--host",
        dest="hosts",
        action="append",
        required=True,
        metavar="HOST[:PORT]",
        help="is sent to this host; can be repeated",
    )
    kind = put.add_mutually_exclusive_group(required=True)
    kind.add_argument("--bearer", action="store_true", help="as Authorization: Bearer")
    kind.add_argument("--basic", action="store_true", help="as Authorization: Basic; the secret is user:password")
    kind.add_argument("--header", metavar="NAME", help="as this header")
    kind.add_argument("--query", metavar="NAME", help="as this parameter of the query")
    put.add_argument(
        "--from-env", action="store_true", help="keep no secret: MEMOS_CREDENTIAL_<NAME> has it where memos-as runs"
    )
    put.set_defaults(choose=_set)

    listing = actions.add_parser("list", help="list the credentials, without their secrets")
    listing.add_argument("--json", action="store_true", help="print the answer as JSON")
    listing.set_defaults(choose=_list)

    remove = actions.add_parser("remove", help="remove credentials")
    remove.add_argument("names", nargs="+", metavar="NAME", help="the name of a credential")
    remove.set_defaults(choose=_remove)


def _set(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_credentials import checked_binding, set_credential

    kind = next(kind for kind in ("bearer", "basic", "header", "query") if getattr(arguments, kind))
    parameter = getattr(arguments, kind) if kind in {"header", "query"} else None
    binding = checked_binding(arguments.name, arguments.hosts, kind, parameter)
    # Asked for here: once the event loop runs, Ctrl-C would wait for the answer.
    secret = None if arguments.from_env else _read_secret(arguments.name, basic=arguments.basic)
    return partial(set_credential, binding=binding, secret=secret)


def _list(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_credentials import list_credentials

    return partial(list_credentials, as_json=arguments.json)


def _remove(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_credentials import remove_credentials

    return partial(remove_credentials, names=arguments.names)


def _read_secret(name: str, *, basic: bool) -> SecretStr:
    """Ask for a secret without showing it, or read it from a pipe, where it ends with the last line break."""
    if sys.stdin is None:
        raise Invalid("There is no stdin to read the secret from. Give it there, or use --from-env.")
    try:
        if sys.stdin.isatty():
            return SecretStr(getpass(f"{'user:password' if basic else 'Secret'} of {printable(name)}: "))
        return SecretStr(sys.stdin.read().removesuffix("\n").removesuffix("\r"))
    except EOFError:
        raise Invalid("No secret was given. Nothing was changed.") from None
    except UnicodeDecodeError:
        raise Invalid("The secret is not text. Nothing was changed.") from None
