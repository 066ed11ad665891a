"""What the editors of JSON, TOML and YAML have in common. Pure.

An editor changes the text of one entry, found by its keys, and no other character.
"""

import re
from typing import Any, Final, Protocol, TypeAlias

from memos_mcp.domain.errors import Invalid

Keys: TypeAlias = tuple[str, ...]
"""The names from the root of a file to an entry."""

NAME_FIELD: Final = "name"
"""What names an entry of a list."""

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


class BrokenText(Invalid):
    """A text does not follow its format. Lines and columns count from 1; either is 0 where the parser knows none."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.line = line
        self.column = column


class UnsupportedText(Invalid):
    """A text is valid, but has a form that an editor cannot change without rewriting more than the entry."""


class TextEditor(Protocol):
    """Reads and changes the texts of one format. Every method raises `BrokenText` for a text of another format."""

    def read(self, text: str) -> dict[str, Any]:
        """Return the value of a text."""

    def with_entry(self, text: str, keys: Keys, value: dict[str, Any]) -> str:
        """Return the text with this entry; what is missing on the way to it is added. May raise `UnsupportedText`."""

    def without_entry(self, text: str, keys: Keys) -> str:
        """Return the text without this entry, and without what only contained it. May raise `UnsupportedText`."""


def entry_at(data: Any, keys: Keys) -> dict[str, Any] | None:
    """Return the entry with these keys, or None. The entries of a list are named by a field of theirs."""
    for key in keys:
        if isinstance(data, list):
            data = next((item for item in data if isinstance(item, dict) and item.get(NAME_FIELD) == key), None)
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def data_without_entry(data: Any, keys: Keys) -> Any:
    """Return the data without this entry, and without what is empty on the way to it."""
    if isinstance(data, list):
        return [item for item in data if entry_at([item], keys) is None]
    if not isinstance(data, dict) or keys[0] not in data:
        return data
    rest = data_without_entry(data[keys[0]], keys[1:]) if keys[1:] else None
    return {name: value for name, value in {**data, keys[0]: rest}.items() if name != keys[0] or value}


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends. Only a line feed ends one, as in TOML; `str.splitlines` knows eight others."""
    return _LINE.findall(text)


def line_at(text: str, index: int) -> int:
    """Return the number of the line of an index, from 0."""
    return text.count("\n", 0, index)


def newline_of(text: str) -> str:
    """Return the line end that a text uses."""
    return "\r\n" if "\r\n" in text else "\n"


def position_of(text: str, index: int) -> tuple[int, int]:
    """Return the line and the column of an index, from 1."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
