"""What all tables on a terminal share: the console, columns, excerpts that fit a column, and records in full."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memos_mcp.cli.output import checked_output, print_lines, print_rows
from memos_mcp.cli.printable import field, lines, one_line

MIN_WIDTH: Final = 20
SHOWN_LINES: Final = 3
CONTEXT_CHARS: Final = 30
GAP: Final = 2

DETAILS: Final = "dim"
FOUND: Final = "bold"

SIGNALS: Final = {"dense": "meaning", "bm25": "words", "text": "words"}

Named = Sequence[tuple[str, str]]
Row: TypeAlias = Mapping[str, Any]

_WORD: Final = re.compile(r"\w{3,}")


def new_console() -> Console:
    """Return a console that reads no markup in text; it heeds NO_COLOR, TERM and COLUMNS."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False)


def new_table(*columns: str) -> Table:
    """Return a table without borders, whose last column takes what the others leave of the width."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style=DETAILS)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], ratio=1, overflow="fold")
    return table


def excerpt(content: str, query: str | None, console: Console, width: int) -> Text:
    """Return up to `SHOWN_LINES` lines of a column of content, around the words of the query if there are any."""
    text = one_line(content)
    words = _WORD.findall(query or "")
    width = max(width, MIN_WIDTH)
    start = _start(text, words, width * SHOWN_LINES)
    shown = Text(f"… {text[start:]}" if start else text)
    shown.highlight_words(words, FOUND, case_sensitive=False)
    wrapped = shown[: width * (SHOWN_LINES + 1)].wrap(console, width)
    if len(wrapped) > SHOWN_LINES:
        wrapped[SHOWN_LINES - 1].append("…")
        wrapped[SHOWN_LINES - 1].truncate(width, overflow="ellipsis")
    return Text("\n").join(wrapped[:SHOWN_LINES])


def why_found(signals: Mapping[str, Any]) -> str:
    """Return what each way of searching contributed."""
    return ", ".join(
        f"worked for {value['worked']} of {value['tasks']} such tasks"
        if isinstance(value, Mapping)
        else f"{SIGNALS.get(name, name)} {value:.2f}"
        for name, value in signals.items()
    )


def minute(moment: str) -> str:
    """Return a time to the minute, as the tables show it."""
    return moment[: len("2026-05-01T12:00")].replace("T", " ")


def print_found(rows: Sequence[Row], fields: Callable[[Row], Iterable[str]], table: Callable[[Console], Table]) -> None:
    """Print rows as a table on a terminal, and as fields between tabs elsewhere."""
    console = new_console()
    if not console.is_terminal:
        print_rows(map(fields, rows))
    elif rows:
        with checked_output():
            console.print(table(console))


def print_records(records: Sequence[tuple[Named, str]]) -> None:
    """Print each record in full: its fields by their names, then its text."""
    console = new_console()
    if not console.is_terminal:
        print_lines(line for named, text in records for line in _plain_lines(named, text))
        return
    with checked_output():
        for number, (named, text) in enumerate(records):
            if number:
                console.print()
            console.print(_grid(named))
            console.print()
            console.print(Text(lines(text)), soft_wrap=True)  # the terminal wraps, so that a copied line is one


def _plain_lines(named: Named, text: str) -> Iterator[str]:
    yield from (f"{name}\t{field(value)}" for name, value in named)
    yield "--"
    yield lines(text)


def _grid(named: Named) -> Table:
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True, style=DETAILS)
    grid.add_column(overflow="fold")
    for name, value in named:
        grid.add_row(name, Text(one_line(value)))
    return grid


def _start(text: str, words: Sequence[str], size: int) -> int:
    """Return where the part of this size starts that has the most words, the first one of several."""
    if len(text) <= size or not words:
        return 0
    pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    inside, counts = deque[tuple[int, str]](), Counter[str]()
    first, last, most = 0, 0, 0
    for match in pattern.finditer(text):
        inside.append((match.start(), match[0].lower()))
        counts[inside[-1][1]] += 1
        while inside[-1][0] - inside[0][0] > size - 2 * CONTEXT_CHARS:
            counts -= Counter([inside.popleft()[1]])
        if len(counts) > most:
            first, last, most = inside[0][0], inside[-1][0], len(counts)
    if last <= size - CONTEXT_CHARS:
        return 0
    start = max(0, first - CONTEXT_CHARS)
    space = text.find(" ", start, first)
    return start if space < 0 or not start else space + 1
