"""Cuts Markdown and reStructuredText at its headings."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from memos_mcp.ingest.text.text_lines import LineRange, TextLines, cut
from memos_mcp.ingest.text.units import Level, Unit, max_cost

LANGUAGES: Final = frozenset({"markdown", "restructuredtext"})

_ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_TITLE: Final = re.compile(r"\s*$| {4}|\t| {0,3}(?:[-*+>|#]|\d+[.)] )")
_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")


class Heading(NamedTuple):
    """A heading: the line it begins on, counted from 0, its depth, the outermost being 1, and its title."""

    line: int
    depth: int
    title: str


def units(lines: TextLines, language: str, space: int) -> Iterator[Unit]:
    """Yield the units of a text in order, with all of its lines: leaf sections, and the text before subsections."""
    headings = list(markdown_headings(lines.texts) if language == "markdown" else _restructured(lines.texts))
    end = len(lines.texts)
    if not headings or headings[0].line > 0:
        yield from _parts(lines, Level(), LineRange(0, headings[0].line if headings else end), space)
    above: list[Heading] = []
    for heading, following in pairwise([*headings, Heading(end, 0, "")]):
        while above and above[-1].depth >= heading.depth:
            above.pop()
        level = Level(tuple(outer.title for outer in above))
        section = LineRange(heading.line, following.line)
        is_leaf = following.depth <= heading.depth
        if is_leaf and lines.cost(*section) <= max_cost(level, lines, space):
            yield Unit(level, (heading.title,), section, loose=False)
        else:
            yield from _parts(lines, Level((*level.names, heading.title)), section, space)
        above.append(heading)


def _parts(lines: TextLines, level: Level, section: LineRange, space: int) -> Iterator[Unit]:
    for part in cut(lines, section, max_cost(level, lines, space)):
        yield Unit(level, (), part, loose=False)


def markdown_headings(texts: Sequence[str]) -> Iterator[Heading]:
    """Yield headings of both forms (CommonMark 4.2, 4.3) outside of fenced code."""
    fence = ""
    for index, text in enumerate(texts):
        if opened := _FENCE.match(text):
            if not fence:
                fence = opened[1]
            elif opened[1].startswith(fence) and not text.strip().strip(fence[0]):
                fence = ""
        elif fence:
            continue
        elif (atx := _ATX.match(text)) and (atx[2] or "").strip():
            yield Heading(index, len(atx[1]), atx[2].strip())
        elif index > 0 and (under := _SETEXT.match(text)) and not _NO_TITLE.match(texts[index - 1]):
            yield Heading(index - 1, 1 if under[1][0] == "=" else 2, texts[index - 1].strip())


def _restructured(texts: Sequence[str]) -> Iterator[Heading]:
    """Yield titles that are underlined, or over- and underlined; styles are nested in the order of appearance."""
    styles: list[tuple[str, bool]] = []
    for index in range(len(texts) - 1):
        title, under = texts[index], _ADORNMENT.match(texts[index + 1])
        over = index > 0 and under is not None and texts[index - 1].strip() == texts[index + 1].strip()
        if under is None or not title.strip() or _ADORNMENT.match(title) or (title[0].isspace() and not over):
            continue
        if len(texts[index + 1].rstrip()) < len(title.strip()):
            continue
        style = (under[1], over)
        if style not in styles:
            styles.append(style)
        yield Heading(index - over, styles.index(style) + 1, title.strip())
