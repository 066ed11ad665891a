"""Hides what a grammar of SQL cannot parse: bodies of functions in other languages, and commands of psql."""

import re
from collections.abc import Iterator
from typing import Final

_DOLLAR_QUOTE: Final = re.compile(rb"\$(?:[A-Za-z_]\w*)?\$")
_META_COMMAND: Final = re.compile(rb"^\\.*$", re.MULTILINE)
_VISIBLE: Final = re.compile(rb"[^\n]")


def hide_other_languages(source: bytes) -> bytes:
    """Return a text of the same size and lines in which each dollar-quoted body is a string of blanks."""
    parts, at = [], 0
    for start, end in _bodies(source):
        parts += [source[at:start], b"'", _VISIBLE.sub(b" ", source[start + 1 : end - 1]), b"'"]
        at = end
    text = b"".join((*parts, source[at:]))
    return _META_COMMAND.sub(lambda found: b" " * len(found[0]), text)


def _bodies(source: bytes) -> Iterator[tuple[int, int]]:
    """Yield the range of each dollar-quoted body with its quotes; one that is not closed is none."""
    opened: re.Match[bytes] | None = None
    for quote in _DOLLAR_QUOTE.finditer(source):
        if opened is None:
            opened = quote
        elif quote[0] == opened[0]:
            yield opened.start(), quote.end()
            opened = None
