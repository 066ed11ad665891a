"""Statements and questions in eight languages: a pair a line of `tests/languages/*.tsv`, separated by a tab.

Each question shares words with its statement (names, numbers, terms), inflected as people write them, and some words
with other statements.
"""

from pathlib import Path
from typing import Final

FIRST_SHARE: Final = 0.9
"""The share of questions for which words alone must put the right statement first."""


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(statement, question) for statement, question in (line.split("\t") for line in text.splitlines())]


LANGUAGES: Final = {
    path.stem: _pairs(path.read_text(encoding="utf-8"))
    for path in sorted(Path(__file__).with_name("languages").glob("*.tsv"))
}
