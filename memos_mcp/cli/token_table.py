"""Prints access tokens without their secrets: a table on a terminal, fields between tabs elsewhere."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import Row, minute, new_table, print_found


def print_tokens(rows: Sequence[Row]) -> None:
    """Print tokens, each with what it may do, and when it was last used."""
    print_found(rows, _fields, lambda _: _table(rows))


def _fields(row: Row) -> Iterator[str]:
    for name in ("prefix", "state", "namespace", "agent_id"):
        yield field(row[name])
    yield ",".join(row["rights"])
    for name in ("expires_at", "last_used_at", "note", "id"):
        yield field(row[name] or "")


def _table(rows: Sequence[Row]) -> Table:
    table = new_table("TOKEN", "STATE", "RIGHTS", "EXPIRES", "LAST USED", "FOR")
    for row in rows:
        expires, used = (minute(row[name] or "never") for name in ("expires_at", "last_used_at"))
        bound_to = " · ".join(map(one_line, filter(None, (row["namespace"], row["agent_id"], row["note"]))))
        table.add_row(row["prefix"], row["state"], ",".join(row["rights"]), expires, used, bound_to)
    return table
