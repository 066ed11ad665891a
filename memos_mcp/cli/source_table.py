"""Prints changes and checks of tools: tables on a terminal, fields between tabs elsewhere."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import DETAILS, Row, new_table, print_found

REACHABLE = "can be reached"


def print_changes(rows: Sequence[Row]) -> None:
    """Print what became of tools, each with the reason if it is refused."""
    names = ("state", "tool_id", "reason")
    print_found(rows, lambda row: [field(row[name]) for name in names], lambda _: _changes(rows))


def print_checks(rows: Sequence[Row]) -> None:
    """Print for each tool that it can be reached, or why not."""
    print_found(
        rows,
        lambda row: [field(row["tool_id"]), field(row["endpoint_url"]), field(row["problem"] or REACHABLE)],
        lambda _: _checks(rows),
    )


def _changes(rows: Sequence[Row]) -> Table:
    table = new_table("STATE", "TOOL")
    for row in rows:
        shown = Text(one_line(row["tool_id"]))
        if row["reason"]:
            shown.append(f"\n{one_line(row['reason'])}", style=DETAILS)
        table.add_row(row["state"], shown)
    return table


def _checks(rows: Sequence[Row]) -> Table:
    table = new_table("TOOL")
    for row in rows:
        shown = Text(one_line(row["tool_id"]))
        shown.append(f"\n{one_line(row['problem'] or REACHABLE)}", style="" if row["problem"] else DETAILS)
        table.add_row(shown)
    return table
