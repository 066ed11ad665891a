"""Reads an HTML page as text with headings: no tags, scripts, styles or navigation."""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from memos_mcp.ingest.formats.markup import Tag, TextSpan, raw_sections, tokens
from memos_mcp.ingest.formats.sections import CodeSection, section_part, starts_of_lines
from memos_mcp.ingest.text.parts import SourcePart

_PAGE: Final = re.compile(r"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_TEMPLATE: Final = re.compile(r"\{[{%]|<%|<\?(?!xml)|<#")
"""Marks of the template languages: the tags of a template are code that somebody searches for."""

_HEAD_CHARS: Final = 2_000

_HEADINGS: Final = {f"h{depth}": "#" * depth + " " for depth in range(1, 7)}
_MARKS: Final = _HEADINGS | {"li": "- ", "td": " | ", "th": " | "}
"""What begins the contents of a tag in Markdown."""

_UNSEEN: Final = frozenset({"nav", "svg", "template", "noscript"})
_PARAGRAPHS: Final = frozenset({*_HEADINGS, "blockquote", "dl", "ol", "p", "pre", "section", "table", "ul"})
_BLOCKS: Final = _PARAGRAPHS | frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "body",
            "br",
            "dd",
            "details",
            "div",
            "dt",
            "fieldset",
            "figcaption",
            "figure",
        ),
        *(
            "footer",
            "form",
            "head",
            "header",
            "hr",
            "html",
            "li",
            "main",
            "option",
            "summary",
            "tbody",
            "tfoot",
            "thead",
        ),
        *("title", "tr"),
    )
)
_SPACES: Final = re.compile(r"[ \t\f]+")

_MIN_SCRIPT_LINES: Final = 10
_MAX_SCRIPT_LINE_CHARS: Final = 110
"""Scripts of fewer lines, and those with longer lines on average, are settings or minified."""


def page_parts(text: str) -> tuple[SourcePart, ...]:
    """Return the text of a page, and its own long scripts; nothing for a template or a fragment."""
    if not _PAGE.search(text, 0, _HEAD_CHARS) or _TEMPLATE.search(text):
        return ()
    page = _PageText(text, starts_of_lines(text))
    if not page.read():
        return ()
    prose = SourcePart("\n".join(page.lines), "html", cut_as="markdown", line_numbers=page.numbers)
    return prose, *_scripts(text, page.line_starts)


def _scripts(text: str, line_starts: list[int]) -> Iterator[SourcePart]:
    for raw in raw_sections(text):
        section = CodeSection.of(raw, "javascript")
        script = text[section.inner_start : section.inner_end].strip()
        lines = script.count("\n") + 1
        if section.kind == "script" and lines >= _MIN_SCRIPT_LINES and len(script) <= _MAX_SCRIPT_LINE_CHARS * lines:
            yield section_part(text, section, line_starts, section.lines(text, line_starts))


@dataclass(slots=True)
class _PageText:
    """The lines of a page's text, and for each the line of the file that it comes from, counted from 1."""

    source: str
    line_starts: list[int]
    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    line: str = ""
    number: int = 0
    in_heading: bool = False
    verbatim: bool = False

    def read(self) -> bool:
        """Read the page; return whether it has any text, and no navigation that is never closed."""
        unseen, depth = "", 0
        for token in tokens(self.source):
            if isinstance(token, Tag) and token.name == (unseen or token.name) and token.name in _UNSEEN:
                depth = max(depth - 1, 0) if token.closing else depth + (not token.attributes.endswith("/"))
                unseen = token.name if depth else ""
            elif unseen:
                continue
            elif isinstance(token, Tag):
                self._add_tag(token)
            else:
                self._add_text(token)
        self._end_line()
        return not unseen and any(self.lines)

    def _add_text(self, text: TextSpan) -> None:
        for offset, raw in enumerate(self.source[text.start : text.end].split("\n")):
            if offset and self.in_heading:
                self.line += " "
            elif offset:
                self._end_line()
            shown = html.unescape(raw).replace("\n", " ")
            if not self.verbatim:
                shown = _SPACES.sub(" ", shown)
                shown = shown.lstrip(" ") if not self.line or self.line.endswith(" ") else shown
            self._append(shown, text.start, offset)

    def _add_tag(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self._end_line()
        if tag.name in _PARAGRAPHS and self.lines and self.lines[-1]:
            self._add_line("")
        if tag.name in _HEADINGS:
            self.in_heading = not tag.closing
        elif tag.name == "pre":
            self.verbatim = not tag.closing
        mark = (tag.attribute("alt") or "") if tag.name == "img" else _MARKS.get(tag.name, "")
        if not tag.closing:
            self._append(mark if self.line else mark.removeprefix(" | "), tag.start)

    def _append(self, text: str, position: int, offset: int = 0) -> None:
        if text and not self.line:
            self.number = bisect_right(self.line_starts, position) + offset
        self.line += text

    def _end_line(self) -> None:
        line, self.line = self.line.rstrip(), ""
        if line.strip("#- |") or (line and self.verbatim):
            self._add_line(line)

    def _add_line(self, line: str) -> None:
        self.lines.append(line)
        self.numbers.append(self.number)
