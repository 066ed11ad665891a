"""Prints credentials without their secrets: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import Row, new_table, print_found


def print_credentials(rows: Sequence[Row]) -> None:
    """Print credentials, each with its hosts and where its secret comes from."""
    print_found(rows, lambda row: map(field, _texts(row)), lambda _: _table(rows))


def _table(rows: Sequence[Row]) -> Table:
    table = new_table("NAME", "SENT AS", "SECRET", "HOSTS")
    for row in rows:
        table.add_row(*map(one_line, _texts(row)))
    return table


def _texts(row: Row) -> Iterator[str]:
    yield row["name"]
    yield f"{row['kind']} {row['parameter']}" if row["parameter"] else row["kind"]
    yield row["variable"] if row["kept_in"] == "environment" else row["kept_in"]
    yield ", ".join(row["hosts"])
