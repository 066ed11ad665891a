"""Excerpts fit a column, and show the words of the query."""

import pytest
from rich.console import Console

from memos_mcp.cli.terminal import SHOWN_LINES, excerpt
from tests.cli.user_terminal import cells

LONG = " ".join(f"Paragraph {number} is about the harbour." for number in range(500))
CONSOLE = Console(width=80)


@pytest.mark.parametrize(
    "content", [LONG, "数据库" * 200, "x" * 500, "🚢 ferry " * 60], ids=["words", "wide", "one word", "emoji"]
)
@pytest.mark.parametrize("width", [20, 37, 80])
def test_an_excerpt_fits_its_column_and_marks_its_end(content: str, width: int) -> None:
    shown = excerpt(content, None, CONSOLE, width).plain.split("\n")
    assert len(shown) == SHOWN_LINES
    assert shown[-1].endswith("…")
    assert all(cells(line) <= width for line in shown)


def test_an_excerpt_is_around_the_most_words_of_the_query() -> None:
    shown = excerpt(LONG, "what is in paragraph 321?", CONSOLE, 40)
    assert shown.plain.startswith("… ")
    assert "Paragraph 321" in shown.plain
    assert {shown.plain[span.start : span.end] for span in shown.spans} == {"Paragraph", "321"}


def test_an_excerpt_without_words_of_the_query_is_the_beginning() -> None:
    for query in (None, "", "?", "zebra"):
        assert excerpt(LONG, query, CONSOLE, 40).plain.startswith("Paragraph 0 is about the harbour.")


def test_a_short_text_is_shown_whole() -> None:
    shown = excerpt("The ferry\n leaves\tat nine.", "when is a FERRY leaving? leave", CONSOLE, 40)
    assert shown.plain == "The ferry leaves at nine."
    assert [shown.plain[span.start : span.end] for span in shown.spans] == ["ferry", "leave"]
