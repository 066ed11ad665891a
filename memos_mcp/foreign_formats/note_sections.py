"""Splits a note at its headings, and a text that no memory can hold into parts. Nothing but blank lines is lost."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from memos_mcp.domain.limits import is_visible
from memos_mcp.ingest.text.headings import Heading, markdown_headings

WHOLE_CHARS: Final = 2_000
"""A note up to this length, about 500 tokens, stays one memory: its parts explain one another."""

PATH_SEPARATOR: Final = " > "
_CUTS: Final = ("\n\n", "\n", " ")
"""Where a text is split, best first."""


class Section(NamedTuple):
    """A part of a note: the headings that enclose it, outermost first, and its text with its own heading."""

    enclosing: tuple[str, ...]
    text: str


def section_contents(title: str, body: str) -> list[str]:
    """Return the contents of the memories of a note: all of it, or one for each heading if it is long.

    Each begins with the title and the headings that enclose it, so that it says what it is about.
    """
    parts = [Section((), body)] if len(body) <= WHOLE_CHARS else sections(body)
    return [_content(title, part) for part in parts if any(map(is_visible, part.text))]


def _content(title: str, part: Section) -> str:
    path = part.enclosing if part.enclosing[:1] == (title,) else (title, *part.enclosing)
    text = part.text.strip("\n")
    if path == (title,) and text.partition("\n")[0].strip("# \t") == title:
        return text
    return f"{PATH_SEPARATOR.join(path)}\n\n{text}"


def sections(body: str) -> list[Section]:
    """Split a text at its headings. One without a text of its own is joined with what follows it."""
    found: list[Section] = []
    pending: list[str] = []
    enclosing: tuple[str, ...] = ()
    for above, lines in _at_headings(body.split("\n")):
        enclosing = enclosing if pending else above
        pending += lines
        if any(line.strip() for line in lines[1:]):
            found.append(Section(enclosing, "\n".join(pending)))
            pending = []
    if pending:
        found.append(Section(enclosing, "\n".join(pending)))
    return found


def _at_headings(lines: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    """Yield the lines from one heading to the next, with the titles that enclose them."""
    headings = list(markdown_headings(lines))
    if not headings or headings[0].line > 0:
        yield (), lines[: headings[0].line if headings else len(lines)]
    above: list[Heading] = []
    for heading, following in pairwise([*headings, Heading(len(lines), 0, "")]):
        while above and above[-1].depth >= heading.depth:
            above.pop()
        yield tuple(outer.title for outer in above), lines[heading.line : following.line]
        above.append(heading)


def split_long(text: str, max_bytes: int) -> Iterator[str]:
    """Yield parts of at most `max_bytes` bytes of UTF-8, cut after paragraphs, lines or words where there are any."""
    start, chars = 0, max_bytes // 4  # of at most four bytes
    if len(text) > chars and len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        while len(text) - start > chars:
            end = _cut(text, start + chars // 2, start + chars)
            yield text[start:end]
            start = end
    yield text[start:]


def _cut(text: str, earliest: int, latest: int) -> int:
    """Return the best position to cut at between these."""
    found = ((text.rfind(mark, earliest, latest), mark) for mark in _CUTS)
    return next((at + len(mark) for at, mark in found if at >= 0), latest)
