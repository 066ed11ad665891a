"""Prints tools: tables on a terminal, fields between tabs elsewhere."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memos_mcp.cli.printable import field, one_line
from memos_mcp.cli.terminal import DETAILS, FOUND, GAP, Row, excerpt, new_table, print_found, print_records, why_found

SCORE_CHARS: Final = len("SCORE")
ID_SHARE: Final = 3
"""The ids take up to a third of the width."""


def print_tools(rows: Sequence[Row], query: str | None = None) -> None:
    """Print found or listed tools, each with an excerpt of its description."""
    print_found(rows, _fields, lambda console: _table(rows, query, console))


def print_in_full(rows: Sequence[Row]) -> None:
    """Print each tool with its schemas."""
    print_records([(list(_named(row)), row["description"]) for row in rows])


def _fields(row: Row) -> Iterator[str]:
    score = row.get("score")
    yield field(row["tool_id"])
    yield field(row["name"])
    yield "" if score is None else f"{score:.4f}"
    yield field(row["endpoint_url"])
    yield field(",".join(row.get("required_capabilities", ())))
    yield field(_description(row))


def _table(rows: Sequence[Row], query: str | None, console: Console) -> Table:
    is_ranked = query is not None
    id_chars = min(max(len(row["tool_id"]) for row in rows), console.width // ID_SHARE)
    widths = {"ID": id_chars} | ({"SCORE": SCORE_CHARS} if is_ranked else {})
    table = new_table(*widths, "TOOL")
    table.columns[0].no_wrap, table.columns[0].overflow, table.columns[0].width = False, "fold", id_chars
    width = console.width - sum(widths.values()) - GAP * len(widths)
    for row in rows:
        shown = Text().append(f"{one_line(row['name'])}\n", style=FOUND)
        shown.append(excerpt(_description(row), query, console, width))
        shown.append(f"\n{' · '.join(_details(row))}", style=DETAILS)
        table.add_row(one_line(row["tool_id"]), *([f"{row['score']:.2f}"] if is_ranked else []), shown)
    return table


def _details(row: Row) -> Iterator[str]:
    yield one_line(row["endpoint_url"])
    if row.get("required_capabilities"):
        yield f"needs {', '.join(map(one_line, row['required_capabilities']))}"
    if row.get("missing"):
        yield f"{one_line(row['source'])} no longer has it"
    if row.get("signals"):
        yield why_found(row["signals"])


def _named(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what is known of a tool besides its description: each name with a text."""
    for name in ("tool_id", "name", "endpoint_url"):
        yield name, row[name]
    if row["required_capabilities"]:
        yield "required_capabilities", ", ".join(row["required_capabilities"])
    for name in ("request_schema", "response_schema"):
        if row[name] is not None:
            yield name, json.dumps(row[name], ensure_ascii=False)
    yield "version", str(row["version"])


def _description(row: Row) -> str:
    """Return the description, with dots where it was cut."""
    return f"{row['description']}{' …' if 'description' in row.get('omitted', ()) else ''}"
