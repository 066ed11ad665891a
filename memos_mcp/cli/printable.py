r"""Makes stored text safe to print: agents write it, and a terminal would obey the control characters in it. Pure.

Invisible characters are shown as Python escapes, such as `\\x1b`. That includes those that reorder a line (U+202E) or
hide text in it (U+E0041), but not the joiners and marks that scripts and emoji need.
"""

import unicodedata
from typing import Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NEEDED: Final = frozenset("\u061c\u200c\u200d\u200e\u200f")
"""The Arabic letter mark, the zero-width joiners, and the two directional marks, which affect only their neighbours."""


def one_line(text: str) -> str:
    """Return text for a cell of a table: any white space becomes one space."""
    return _escaped(" ".join(text.split()))


def lines(text: str) -> str:
    """Return text of several lines; line breaks and tabs stay."""
    return "\n".join("\t".join(map(_escaped, line.split("\t"))) for line in text.replace("\r\n", "\n").split("\n"))


def field(text: str) -> str:
    r"""Return text for a field between tabs. Nothing is lost: a backslash is doubled, a line break becomes `\n`."""
    return _escaped(text.replace("\\", "\\\\"))


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(ascii(char)[1:-1] if _is_unsafe(char) else char for char in text)


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE and char not in _NEEDED
