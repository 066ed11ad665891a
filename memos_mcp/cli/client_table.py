"""Prints the clients of this system: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import Row, new_table, print_found

_COLUMNS = ("client", "scope", "state", "file")


def print_clients(rows: Sequence[Row]) -> None:
    """Print clients with their files, and whether they are connected."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    return (field(row[name]) for name in _COLUMNS)


def _table(rows: Sequence[Row]) -> Table:
    table = new_table(*(name.upper() for name in _COLUMNS))
    for row in rows:
        table.add_row(*(one_line(row[name]) for name in _COLUMNS))
    return table
