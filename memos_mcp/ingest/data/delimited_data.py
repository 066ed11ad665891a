"""The shape of delimited text: CSV and the like, and JSON Lines."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Final

from memos_mcp.ingest.data.data_shape import DataShape, Records, type_of

_DELIMITERS: Final = ",;\t|"
_PROBED_ROWS: Final = 50
_PROBED_LINES: Final = 100
_MIN_PARSED: Final = 0.9


def csv_shape(text: str) -> DataShape | None:
    """Return the shape of a text whose name promises rows, or None when it cannot be read as such."""
    delimiter = max(_DELIMITERS, key=lambda one: _evenness(text, one))
    try:
        rows = _rows(text, delimiter)
        first = next(rows, [])
        has_header = _is_header(first)
        names = first if has_header else [""] * len(first)
        columns = [name or f"column {number}" for number, name in enumerate(names, start=1)]
        records = Records(unit="rows")
        if not has_header:
            records.add(zip(columns, first, strict=True), delimiter.join(first))
        for row in rows:
            records.add(zip(columns, row, strict=False), delimiter.join(row))
    except csv.Error:
        return None
    return DataShape("TSV" if delimiter == "\t" else "CSV", [records.table()])


def json_lines_shape(text: str) -> DataShape | None:
    """Return the shape of a text with one JSON value a line, or None when its first lines are something else."""
    lines = [line for line in text.split("\n") if line.strip()]
    values = list(_values(lines[:_PROBED_LINES]))
    if len(lines) == 1 or len(values) < _MIN_PARSED * len(lines[:_PROBED_LINES]):
        return None
    records = Records(unit="lines")
    for value, line in values:
        records.add(value.items() if isinstance(value, dict) else [("value", value)], line)
    records.count = len(lines)
    return DataShape("JSON Lines", [records.table()])


def _values(lines: Sequence[str]) -> Iterator[tuple[object, str]]:
    for line in lines:
        try:
            yield json.loads(line), line
        except (ValueError, RecursionError):
            continue


def _evenness(text: str, delimiter: str) -> tuple[int, int]:
    """Rate a delimiter: by how many of the first rows have the most frequent number of fields, then by that number."""
    try:
        sizes = Counter(len(row) for row in islice(_rows(text, delimiter), _PROBED_ROWS))
    except csv.Error:
        return 0, 0
    fields, rows = max(sizes.items(), key=lambda item: item[1], default=(0, 0))
    return (rows, fields) if fields > 1 else (0, fields)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return (row for row in csv.reader(StringIO(text), delimiter=delimiter) if row)


def _is_header(row: Sequence[str]) -> bool:
    names = [name.strip() for name in row]
    return len(set(names)) == len(names) and {type_of(name) for name in names} in ({"text"}, {"text", ""})
