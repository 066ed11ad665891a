"""Changes one table of a TOML text, by whole lines. Pure.

A new table is appended. A table that stands in a line, as dotted keys or within another one is not changed.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from memos_mcp.clients.config_text import BrokenText, Keys, UnsupportedText, entry_at, newline_of, split_lines


@dataclass(frozen=True, slots=True)
class _Table:
    """The lines of a table, from its header to the last of its keys: comments and blank lines after it are not its."""

    keys: Keys
    start: int
    end: int


class TomlText:
    """The editor of TOML."""

    def read(self, text: str) -> dict[str, Any]:
        """Return the value of a text."""
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _broken(error) from None

    def with_entry(self, text: str, keys: Keys, value: dict[str, Any]) -> str:
        """Return the text with this entry."""
        newline = newline_of(text)
        block = newline.join(_render(keys, value)) + newline
        lines = split_lines(text)
        own = self._own_tables(text, lines, keys)
        if own:
            first = own[0]
            for table in reversed(own[1:]):
                _delete(lines, table)
            lines[first.start : first.end] = [block]
            return "".join(lines)
        if text and not text.endswith("\n"):
            text += newline
        return f"{text}{newline if text.strip() else ''}{block}"

    def without_entry(self, text: str, keys: Keys) -> str:
        """Return the text without this entry."""
        lines = split_lines(text)
        for table in reversed(self._own_tables(text, lines, keys)):
            _delete(lines, table)
        return "".join(lines)

    def _own_tables(self, text: str, lines: list[str], keys: Keys) -> list[_Table]:
        exists = entry_at(self.read(text), keys) is not None
        own = [table for table in _tables(lines) if table.keys[: len(keys)] == keys]
        if exists and not any(table.keys == keys for table in own):
            raise UnsupportedText(f"{'.'.join(keys)} is not written as a table with a header of its own")
        return own


def _delete(lines: list[str], table: _Table) -> None:
    """Delete the lines of a table, and the blank line that separates it from what is before it."""
    follows_blank = table.start > 0 and not lines[table.start - 1].strip()
    del lines[table.start - follows_blank : table.end]


def _tables(lines: list[str]) -> Iterator[_Table]:
    keys: Keys | None = None
    start = end = line = 0
    while line < len(lines):
        if lines[line].lstrip().startswith("["):
            if keys is not None:
                yield _Table(keys, start, end)
            keys, start, end = _header(lines[line]), line, line + 1
            line += 1
        elif not lines[line].strip() or lines[line].lstrip().startswith("#"):
            line += 1
        else:
            line = end = _statement_end(lines, line)
    if keys is not None:
        yield _Table(keys, start, end)


def _header(line: str) -> Keys:
    """Return the keys of a header; those of an array of tables are followed by a name that no table has."""
    keys: list[str] = []
    node: Any = tomllib.loads(line)
    while isinstance(node, dict) and node:
        ((key, node),) = node.items()
        keys.append(key)
    return (*keys, "[]") if isinstance(node, list) else tuple(keys)


def _statement_end(lines: list[str], start: int) -> int:
    """Return the line after a key and its value, which may take several lines: the first ones that are TOML alone."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    raise BrokenText("a value does not end", start + 1)


def _render(keys: Keys, value: dict[str, Any]) -> Iterator[str]:
    yield f"[{'.'.join(keys)}]"
    yield from (f"{name} = {_render_value(part)}" for name, part in value.items())


def _render_value(value: Any) -> str:
    """Return a string, a list of strings or an object of strings. The escapes of JSON are also those of TOML."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_render_key(name)} = {_render_value(part)}' for name, part in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _render_key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _broken(error: tomllib.TOMLDecodeError) -> BrokenText:
    """Return the problem and its position, which the parser has in its message in Python 3.11 to 3.13."""
    problem, _, where = str(error).rpartition(" (at ")
    words = where.rstrip(")").replace(",", "").split()
    numbers = [int(word) for word in words if word.isdecimal()]
    if len(numbers) == 2:  # noqa: PLR2004 - "line 3, column 7"
        return BrokenText(problem.lower(), *numbers)
    return BrokenText((problem or str(error)).lower() + (f" ({where.rstrip(')')})" if problem else ""))
