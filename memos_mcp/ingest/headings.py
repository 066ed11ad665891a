"""Cuts Markdown and reStructuredText at its headings."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from memos_mcp.ingest.text_lines import Stretch, TextLines, cut
from memos_mcp.ingest.units import Level, Unit, room

_ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_TITLE: Final = re.compile(r"\s*$| {4}|\t| {0,3}(?:[-*+>|#]|\d+[.)] )")
_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")


class _Heading(NamedTuple):
    line: int
    depth: int
    title: str


def units(lines: TextLines, language: str, space: int) -> Iterator[Unit]:
    """Yield the units of a text in order, all of its lines: a section without sections, or what stands before them."""
    headings = list(_markdown(lines.texts) if language == "markdown" else _restructured(lines.texts))
    end = len(lines.texts)
    if not headings or headings[0].line > 0:
        yield from _pieces(lines, Level(), Stretch(0, headings[0].line if headings else end), space)
    above: list[_Heading] = []
    for heading, following in pairwise([*headings, _Heading(end, 0, "")]):
        while above and above[-1].depth >= heading.depth:
            above.pop()
        level = Level(tuple(outer.title for outer in above))
        stretch = Stretch(heading.line, following.line)
        is_leaf = following.depth <= heading.depth
        if is_leaf and lines.cost(*stretch) <= room(level, lines, space):
            yield Unit(level, (heading.title,), stretch, loose=False)
        else:
            yield from _pieces(lines, Level((*level.names, heading.title)), stretch, space)
        above.append(heading)


def _pieces(lines: TextLines, level: Level, stretch: Stretch, space: int) -> Iterator[Unit]:
    for piece in cut(lines, stretch, room(level, lines, space)):
        yield Unit(level, (), piece, loose=False)


def _markdown(texts: Sequence[str]) -> Iterator[_Heading]:
    """Yield headings of both forms (CommonMark 4.2, 4.3) outside of fenced code."""
    fence = ""
    for place, text in enumerate(texts):
        if opened := _FENCE.match(text):
            if not fence:
                fence = opened[1]
            elif opened[1].startswith(fence) and not text.strip().strip(fence[0]):
                fence = ""
        elif fence:
            continue
        elif (atx := _ATX.match(text)) and (atx[2] or "").strip():
            yield _Heading(place, len(atx[1]), atx[2].strip())
        elif place > 0 and (under := _SETEXT.match(text)) and not _NO_TITLE.match(texts[place - 1]):
            yield _Heading(place - 1, 1 if under[1][0] == "=" else 2, texts[place - 1].strip())


def _restructured(texts: Sequence[str]) -> Iterator[_Heading]:
    """Yield titles with a line under them, or over and under; each style's depth is the order of its appearance."""
    styles: list[tuple[str, bool]] = []
    for place in range(len(texts) - 1):
        title, under = texts[place], _ADORNMENT.match(texts[place + 1])
        over = place > 0 and under is not None and texts[place - 1].strip() == texts[place + 1].strip()
        if under is None or not title.strip() or _ADORNMENT.match(title) or (title[0].isspace() and not over):
            continue
        if len(texts[place + 1].rstrip()) < len(title.strip()):
            continue
        style = (under[1], over)
        if style not in styles:
            styles.append(style)
        yield _Heading(place - over, styles.index(style) + 1, title.strip())
