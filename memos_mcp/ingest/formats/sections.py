"""Splits single-file components (Vue, Svelte, Astro) into their script, style and template."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from memos_mcp.ingest.formats.markup import RawSection, raw_sections
from memos_mcp.ingest.text.parts import SourcePart

COMPONENTS: Final[Mapping[str, str]] = {".vue": "vue", ".svelte": "svelte", ".astro": "astro"}
"""The suffixes of components, and the names of their languages."""

_LANGUAGES: Final = {
    kind: language
    for language, kinds in {
        "typescript": "ts typescript text/typescript",
        "tsx": "tsx",
        "javascript": "js jsx javascript module text/javascript application/javascript text/babel",
        "json": "json application/json application/ld+json importmap speculationrules",
    }.items()
    for kind in kinds.split()
}
"""Languages by the attribute `lang` or `type` of a script."""

_FRONT_MATTER: Final = re.compile(r"\s*---[^\S\n]*\n(.*?)^---[^\S\n]*$", re.DOTALL | re.MULTILINE)
_NOT_SPACE: Final = re.compile(r"\S")


class CodeSection(NamedTuple):
    """A part of a file: its positions, those of its contents without its tags, its language and what it is."""

    start: int
    end: int
    inner_start: int
    inner_end: int
    language: str | None
    kind: str

    @classmethod
    def of(cls, raw: RawSection, default: str) -> "CodeSection":
        """Return a script or style; `default` is the language of a script that names none."""
        kind = (raw.tag.attribute("lang") or raw.tag.attribute("type") or "").lower()
        language = "css" if raw.tag.name == "style" else _LANGUAGES.get(kind) if kind else default
        return cls(raw.tag.start, raw.after, raw.tag.end, raw.end, language, raw.tag.name)

    def lines(self, text: str, line_starts: list[int]) -> tuple[int, int]:
        """Return the first line of its contents, counted from 0, and the one after them; none when they are blank."""
        inner = text[self.inner_start : self.inner_end]
        first = self.inner_start + len(inner) - len(inner.lstrip())
        end = self.inner_start + len(inner.rstrip())
        return bisect_right(line_starts, first) - 1, bisect_right(line_starts, end - 1) if inner.strip() else 0


def component_parts(path: str, text: str) -> tuple[SourcePart, ...]:
    """Return the sections of a component, with each of its lines at most once; nothing for another file.

    Lines that hold only the tag of a script or style are in none.
    """
    language = COMPONENTS.get(PurePosixPath(path).suffix.lower())
    if language is None:
        return ()
    line_starts, parts, next_line = starts_of_lines(text), list[SourcePart](), 0
    for section in _sections(text, language):
        inner = max(section.lines(text, line_starts)[0], next_line), section.lines(text, line_starts)[1]
        if inner[0] >= inner[1]:
            continue
        first, after = bisect_right(line_starts, section.start) - 1, bisect_right(line_starts, section.end - 1)
        shares_first = text[line_starts[first] : section.start].strip() != ""
        shares_last = text[section.end : _end(text, line_starts, after)].strip() != ""
        parts += _template(text, line_starts, (next_line, inner[0] if shares_first else min(first, inner[0])), language)
        parts.append(section_part(text, section, line_starts, inner))
        next_line = inner[1] if shares_last else after
    return *parts, *_template(text, line_starts, (next_line, len(line_starts)), language)


def section_part(text: str, section: CodeSection, line_starts: list[int], lines: tuple[int, int]) -> SourcePart:
    """Return some lines of a file as a part, of which a parser reads the contents of the section only."""
    start, end = line_starts[lines[0]], _end(text, line_starts, lines[1])
    inner_start, inner_end = max(section.inner_start, start), min(section.inner_end, end)
    before, after = text[start:inner_start], text[inner_end:end]
    parsed = _NOT_SPACE.sub(" ", before) + text[inner_start:inner_end] + _NOT_SPACE.sub(" ", after)
    return SourcePart(
        text[start:end],
        section.language,
        (section.kind,),
        parsed=parsed,
        line_numbers=range(lines[0] + 1, lines[1] + 1),
    )


def starts_of_lines(text: str) -> list[int]:
    """Return the position of the first character of each line."""
    return [0, *accumulate(len(line) + 1 for line in text.split("\n"))][:-1]


def _sections(text: str, language: str) -> Iterator[CodeSection]:
    position = 0
    if language == "astro" and (front := _FRONT_MATTER.match(text)):
        position = front.end()
        yield CodeSection(front.start(), position, *front.span(1), "typescript", "script")
    for raw in raw_sections(text, position):
        yield CodeSection.of(raw, "typescript" if language == "astro" else "javascript")


def _template(text: str, line_starts: list[int], lines: tuple[int, int], language: str) -> Iterator[SourcePart]:
    template = text[line_starts[lines[0]] : _end(text, line_starts, lines[1])] if lines[0] < lines[1] else ""
    if template.strip():
        yield SourcePart(template, language, ("template",), line_numbers=range(lines[0] + 1, lines[1] + 1))


def _end(text: str, line_starts: list[int], line: int) -> int:
    """Return the position of the line end before a line."""
    return line_starts[line] - 1 if line < len(line_starts) else len(text)
