"""Prints the clients of this system: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import Row, new_table, print_found

_COLUMNS = ("client", "scope", "state", "hooks", "file")


def print_clients(rows: Sequence[Row]) -> None:
    """Print clients with their files, whether they are connected, and whether they have hooks."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    return map(field, _values(row))


def _table(rows: Sequence[Row]) -> Table:
    table = new_table(*(name.upper() for name in _COLUMNS))
    for row in rows:
        table.add_row(*map(one_line, _values(row)))
    return table


def _values(row: Row) -> Iterator[str]:
    shown = {**row, "hooks": "yes" if row["hooks"] else "no"}
    return (shown[name] for name in _COLUMNS)
