"""Prints the events of a memory: a table on a terminal, fields between tabs elsewhere."""

import json
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import DETAILS, Row, minute, new_table, print_found


def print_history(rows: Sequence[Row]) -> None:
    """Print events, each with the values that it replaced."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    yield row["at"]
    yield row["event"]
    for name in ("agent_id", "client", "client_version", "transport"):
        yield field(row[name] or "")
    yield field(json.dumps(row["former"], ensure_ascii=False))


def _table(rows: Sequence[Row]) -> Table:
    table = new_table("WHEN (UTC)", "EVENT", "BY")
    for row in rows:
        by = Text(" · ".join(_by(row)))
        for name, value in row["former"].items():
            by.append(f"\nbefore: {name} {one_line(json.dumps(value, ensure_ascii=False))}", style=DETAILS)
        table.add_row(minute(row["at"]), row["event"], by)
    return table


def _by(row: Row) -> Iterator[str]:
    yield one_line(row["agent_id"])
    if row["client"]:
        yield one_line(f"{row['client']} {row['client_version'] or ''}")
    if row["transport"]:
        yield one_line(row["transport"])
