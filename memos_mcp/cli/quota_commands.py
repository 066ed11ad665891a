"""The command group for quotas: its options."""

import argparse
from functools import partial

from memos_mcp.cli.argument_types import name, positive, whole_number
from memos_mcp.cli.memory_commands import Command, Subparsers
from memos_mcp.domain.quotas import LIMITS, MAX_AMOUNT, MAX_RATE, Quota


def add_quota_commands(commands: Subparsers) -> None:
    """Add the commands to the command line."""
    group = commands.add_parser("quota", help="limit what a namespace may store and call")
    actions = group.add_subparsers(metavar="COMMAND", required=True)
    setting = actions.add_parser("set", help="change limits of a namespace, in every engine within a second")
    setting.add_argument("--namespace", required=True, type=name, help="the namespace")
    amount, rate = whole_number(0, MAX_AMOUNT), whole_number(1, MAX_RATE)
    setting.add_argument("--memories", type=amount, metavar="N", help="memories that it may hold")
    setting.add_argument("--bytes", type=amount, metavar="N", help="bytes that their contents and metadata may have")
    setting.add_argument("--tools", type=amount, metavar="N", help="tools that it may hold")
    setting.add_argument("--calls-a-minute", type=rate, metavar="N", help="tool calls a minute, in each engine")
    setting.add_argument("--concurrent-calls", type=rate, metavar="N", help="tool calls at a time, in each engine")
    setting.add_argument(
        "--embedding-seconds", type=positive, metavar="S", help="seconds a minute for indexing, in each engine"
    )
    setting.set_defaults(choose=_set)

    listing = actions.add_parser("list", help="list the limits of the namespaces that have any of their own")
    listing.add_argument("--json", action="store_true", help="print the answer as JSON")
    listing.set_defaults(choose=_list)

    unset = actions.add_parser("unset", help="remove the limits of a namespace: those of the settings count again")
    unset.add_argument("--namespace", required=True, type=name, help="the namespace")
    unset.set_defaults(choose=_unset)


def _set(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_quotas import set_quota

    quota = Quota(**{limit: getattr(arguments, limit) for limit in LIMITS})
    return partial(set_quota, namespace=arguments.namespace, quota=quota)


def _list(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_quotas import list_quotas

    return partial(list_quotas, as_json=arguments.json)


def _unset(arguments: argparse.Namespace) -> Command:
    from memos_mcp.cli.change_quotas import unset_quota

    return partial(unset_quota, namespace=arguments.namespace)
