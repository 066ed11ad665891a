"""Prints memories: tables on a terminal, fields between tabs elsewhere."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import DETAILS, GAP, Row, excerpt, minute, new_table, print_found, print_records, why_found
from memos_mcp.mcp_server.memory_results import cut

ID_DIGITS: Final = 8
TIME_CHARS: Final = len("2026-05-01 12:00")
KIND_CHARS: Final = len("procedural")
SCORE_CHARS: Final = len("SCORE")
WIDE: Final = 72
"""From this width of the terminal on, the time, the kind and the score have columns of their own."""


def print_memories(rows: Sequence[Row], query: str | None = None) -> None:
    """Print found or listed memories, each with an excerpt around the words of the query."""
    print_found(rows, _fields, lambda console: _table(rows, query, console))


def print_in_full(rows: Sequence[Row]) -> None:
    """Print each memory with all that is known of it."""
    print_records([(list(_named(row)), row["content"]) for row in rows])


def _fields(row: Row) -> Iterator[str]:
    score = row.get("score")
    yield row["memory_id"]
    yield row["occurred_at"]
    yield row["kind"]
    yield "" if score is None else f"{score:.4f}"
    yield field(",".join(row.get("tags", ())))
    yield field(_content(row))


def _content(row: Row) -> str:
    """Return the content, with dots where an excerpt was cut out."""
    part = row.get("excerpt")
    if part is None:
        return str(row["content"])
    return f"{'… ' if part['start'] else ''}{row['content']}{' …' if part['end'] < part['length'] else ''}"


def _table(rows: Sequence[Row], query: str | None, console: Console) -> Table:
    is_wide, is_ranked = console.width >= WIDE, query is not None
    widths = {"ID": ID_DIGITS}
    if is_wide:
        widths |= {"WHEN (UTC)": TIME_CHARS, "KIND": KIND_CHARS} | ({"SCORE": SCORE_CHARS} if is_ranked else {})
    table = new_table(*widths, "MEMORY")
    width = console.width - sum(widths.values()) - GAP * len(widths)
    for row in rows:
        cells = [row["memory_id"][:ID_DIGITS]]
        if is_wide:
            cells += [minute(row["occurred_at"]), row["kind"], *([f"{row['score']:.2f}"] if is_ranked else [])]
        shown = excerpt(_content(row), query, console, width)
        details = " · ".join(_details(row, every=not is_wide))
        if details:
            shown.append(f"\n{details}", style=DETAILS)
        table.add_row(*cells, shown)
    return table


def _details(row: Row, *, every: bool) -> Iterator[str]:
    if every:
        yield minute(row["occurred_at"])
        yield row["kind"]
        if row.get("score") is not None:
            yield f"{row['score']:.2f}"
    if row.get("tags"):
        yield " ".join(f"#{one_line(tag)}" for tag in row["tags"])
    if row.get("signals"):
        yield why_found(row["signals"])
    if row.get("also"):
        yield f"stored {row['also'] + 1:,} times"
    if row.get("superseded_by"):
        yield f"superseded by {row['superseded_by'][:ID_DIGITS]}"
    if row.get("earlier"):
        yield f"supersedes {', '.join(one['memory_id'][:ID_DIGITS] for one in row['earlier'])}"


def _named(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what is known of a memory besides its content: each name with a text."""
    yield "memory_id", row["memory_id"]
    yield "kind", row["kind"]
    for name in ("occurred_at", "created_at", "expires_at", "superseded_at", "superseded_by"):
        if row[name] is not None:
            yield name, row[name]
    for one in row.get("earlier", ()):
        yield "supersedes", f"{one['memory_id']} of {one['created_at']}, by {one['agent_id']}: {cut(one['content'])}"
    yield "agent_id", row["agent_id"]
    if row["session_id"] is not None:
        yield "session_id", row["session_id"]
    if row["tags"]:
        yield "tags", ", ".join(row["tags"])
    yield "importance", f"{row['importance']:g}"
    if row["metadata"]:
        yield "metadata", json.dumps(row["metadata"], ensure_ascii=False)
    yield "version", str(row["version"])
