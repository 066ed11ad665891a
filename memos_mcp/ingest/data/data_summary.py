"""Describes a file of data in one chunk: what it is, how many records it has, their columns and a few of them."""

import re
from collections.abc import Iterator
from typing import Final

from memos_mcp.ingest.data.data_shape import MAX_EXAMPLE_CHARS, DataShape, DataTable
from memos_mcp.ingest.text.text_lines import cost

_MAX_NAME_CHARS: Final = 60
_COLUMNS_SHARE: Final = 0.6
"""The share of a table's space that its columns take at most; the rest is for examples."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def summary(shape: DataShape, space: int) -> str:
    """Return the text of the chunk, which costs about `space` at most."""
    lines = [_headline(shape)]
    remaining = space - cost(lines[0])
    tables = sorted(shape.tables, key=lambda table: -table.count)
    for number, table in enumerate(tables):
        text = "\n".join(_described(table, remaining // (len(tables) - number)))
        if cost(text) > remaining:
            lines.append(f"… and {len(tables) - number:,} more tables")
            break
        lines.append(text)
        remaining -= cost(text)
    return "\n".join(line for line in lines if line)


def _headline(shape: DataShape) -> str:
    counts = [f"{table.count:,} {table.unit}" for table in shape.tables]
    counted = counts[0] if len(counts) == 1 else f"{shape.count:,} {shape.tables[0].unit} in {len(counts):,} tables"
    if shape.size is None:
        return f"{shape.format} data, summarized: {counted}."
    return f"{shape.format} data, summarized: {counted} in the first {shape.read:,} of {shape.size:,} bytes."


def _described(table: DataTable, space: int) -> Iterator[str]:
    if table.name:
        named = f"{_shown(table.name, _MAX_NAME_CHARS)}: {table.count:,} {table.unit}"
        space -= cost(named)
        yield named
    columns = _columns(table, int(space * _COLUMNS_SHARE))
    space -= cost(columns)
    if columns:
        yield columns
    for example in table.examples:
        text = _shown(example, MAX_EXAMPLE_CHARS)
        while cost(text) > space and len(text) > _MAX_NAME_CHARS:
            text = _shown(text, len(text) * 2 // 3)
        space -= cost(text) + 1
        if space < 0 or not text:
            break
        yield f"- {text}"


def _columns(table: DataTable, space: int) -> str:
    """Return the columns with their types, as many as there is space for, and how many more there are."""
    shown = [f"{_shown(name, _MAX_NAME_CHARS)} ({type_})" for name, type_ in table.columns.items()]
    text = ""
    for count, column in enumerate(shown):
        longer = f"{text}, {column}" if text else f"columns: {column}"
        if cost(longer) > space:
            return f"{text}, and {len(shown) - count:,} more" if text else ""
        text = longer
    return text


def _shown(text: str, limit: int) -> str:
    """Return a text on one line, without characters that cannot be stored, cut at a limit."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
