"""What the commands have in common at the console: Ctrl-C, and texts that a terminal can show."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio

INTERRUPTED: Final = 130
"""The exit code that shells report for a command that Ctrl-C stopped."""


@contextmanager
def cancelled_by_signals(scope: anyio.CancelScope) -> Iterator[None]:
    """Cancel the scope at Ctrl-C and SIGTERM; a shell script's background jobs ignore Ctrl-C, which stays ignored."""
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        loop.add_signal_handler(number, scope.cancel)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def printable(text: str) -> str:
    """Return a name or path with escapes for characters that a terminal cannot show or would interpret."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
