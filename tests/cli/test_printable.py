"""Stored text is printed without characters that a terminal obeys."""

import ast
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from memos_mcp.cli.printable import field, lines, one_line

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NEEDED = "\u061c\u200c\u200d\u200e\u200f"


def obeyed(text: str, but: str = "") -> list[str]:
    """Return the characters that a terminal may obey, or does not show."""
    unsafe = {"Cc", "Cf", "Zl", "Zp"}
    return [char for char in text if unicodedata.category(char) in unsafe and char not in but + NEEDED]


@given(TEXTS)
@example("\x1b[31mred\x1b[0m \x9b31m \x1b]0;title\x07 \u202etxt.exe\u2066 \U000e0041 \x7f \r")
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    assert obeyed(one_line(text)) == []
    assert obeyed(field(text)) == []
    assert obeyed(lines(text), but="\n\t") == []


@given(TEXTS)
@example("C:\\new\\table\n\t\x1b\u2028\U000e0041")
def test_a_field_loses_nothing(text: str) -> None:
    quoted = field(text).replace('"', '\\"')
    assert ast.literal_eval(f'"{quoted}"') == text


def test_joiners_marks_and_scripts_are_printed_unchanged() -> None:
    text = "👩‍👩‍👧 می‌خواهم שלום\u200f 数据库 ไทย é naïve"
    assert one_line(text) == field(text) == lines(text) == text


def test_lines_keep_line_breaks_and_tabs_only() -> None:
    assert lines("a\r\nb\tc\rd\x0b") == "a\nb\tc\\rd\\x0b"
    assert one_line(" a\r\n b\t\u2028c ") == "a b c"
