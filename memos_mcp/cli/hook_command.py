"""The arguments of `memos-as hook`. Except on Windows, `memos_mcp.hooks.hook_options` reads them, which is faster."""

import argparse
from collections.abc import Awaitable, Callable

from memos_mcp.hooks.events import RULES
from memos_mcp.hooks.hook_options import ANSWER_MILLISECONDS, DEFAULT_TOKENS
from memos_mcp.settings import Settings


def add_hook_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    hook = commands.add_parser(
        "hook",
        help="answer an event of a client's hooks with what the memory has",
        description="Reads the event as JSON from stdin, and prints the answer, or nothing. Exits with 0 in any case.",
    )
    hook.add_argument("event", metavar="EVENT", choices=tuple(RULES), help=f"one of {', '.join(RULES)}")
    hook.add_argument("--capture", action="store_true", help="also store prompts and answers, as episodic memories")
    hook.add_argument("--loadout", metavar="NAME", help="start sessions with this loadout")
    hook.add_argument("--namespace", metavar="NAME", help="instead of MEMOS_NAMESPACE")
    hook.add_argument(
        "--tokens", type=int, default=DEFAULT_TOKENS, metavar="N", help=f"budget of an answer ({DEFAULT_TOKENS})"
    )
    hook.add_argument(
        "--within",
        type=int,
        default=ANSWER_MILLISECONDS,
        metavar="MS",
        help=f"time for the engine's answer ({ANSWER_MILLISECONDS})",
    )
    hook.set_defaults(choose=_nothing)


def _nothing(_arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    return _do_nothing


async def _do_nothing(_settings: Settings) -> int:
    """Answer no event: Windows has no engine that could be asked within the time of a hook."""
    return 0
