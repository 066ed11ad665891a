"""Prints quotas: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import Row, new_table, print_found
from memos_mcp.domain.quotas import LIMITS, Limit


def print_quotas(rows: Sequence[Row]) -> None:
    """Print the limits of namespaces, each with what is used of it where that is known."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    yield field(row["namespace"])
    for limit in LIMITS:
        yield _used_of(row, limit, "")


def _table(rows: Sequence[Row]) -> Table:
    table = new_table("NAMESPACE", "MEMORIES", "BYTES", "TOOLS", "CALLS/MIN", "AT A TIME", "EMBEDDING S/MIN")
    for row in rows:
        table.add_row(one_line(row["namespace"]), *(_used_of(row, limit, "-") for limit in LIMITS))
    return table


def _used_of(row: Row, limit: Limit, none: str) -> str:
    most, holds = row["limits"][limit], row["holds"] or {}
    if most is None:
        return none
    return f"{holds[limit]}/{most}" if limit in holds else f"{most:g}"
