"""Prints audit records: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import DETAILS, Row, minute, new_table, print_found

SHOWN_IDS: Final = 3


def print_audit(rows: Sequence[Row]) -> None:
    """Print records, each with the ids that it touched."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    yield row["at"]
    yield field(row["tool"] or "")
    yield row["outcome"]
    yield str(row["calls"])
    for name in ("namespace", "agent_id", "token_id", "client", "client_version", "transport", "request_id"):
        yield field(row[name] or "")
    yield field(",".join(row["item_ids"]))


def _table(rows: Sequence[Row]) -> Table:
    table = new_table("WHEN (UTC)", "WHAT", "OUTCOME", "BY")
    for row in rows:
        what = Text(one_line(row["tool"] or "request"))
        if row["calls"] > 1:
            what.append(f" x {row['calls']:,}")
        for number, item in enumerate(row["item_ids"][:SHOWN_IDS]):
            what.append(f"{', ' if number else chr(10)}{one_line(item[:8])}", style=DETAILS)
        if len(row["item_ids"]) > SHOWN_IDS:
            what.append(f" and {len(row['item_ids']) - SHOWN_IDS} more", style=DETAILS)
        table.add_row(minute(row["at"]), what, row["outcome"], " · ".join(_by(row)))
    return table


def _by(row: Row) -> Iterator[str]:
    for value in (
        row["agent_id"],
        row["token_id"],
        row["client"] and f"{row['client']} {row['client_version'] or ''}".rstrip(),
        row["transport"],
    ):
        if value:
            yield one_line(value)
