"""The arguments of `memos-as hook`, read by hand: argparse takes longer to import than a hook may."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

ANSWER_MILLISECONDS: Final = 110
"""For the engine's answer. The start of this process takes 30 to 40 ms more."""

DEFAULT_TOKENS: Final = 800


class Options(NamedTuple):
    """What is given on the command line."""

    event: str
    capture: bool = False
    loadout: str | None = None
    tokens: int = DEFAULT_TOKENS
    within: int = ANSWER_MILLISECONDS
    namespace: str | None = None


def read_options(arguments: Sequence[str]) -> Options:
    """Return the options; raise `ValueError`, `IndexError` or `StopIteration` for what cannot be read."""
    given: dict[str, Any] = {"event": arguments[0]}
    rest = iter(arguments[1:])
    for option in rest:
        name = option.removeprefix("--")
        if name == "capture":
            given[name] = True
        elif name in ("loadout", "namespace"):
            given[name] = next(rest)
        elif name in ("tokens", "within"):
            given[name] = int(next(rest))
    return Options(**given)
