"""Cuts the text of a source file into chunks, in the way that suits its language."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from memos_mcp.domain.chunk import PROSE, Chunk, Links
from memos_mcp.ingest.code import syntax
from memos_mcp.ingest.code.grammars import GRAMMARS
from memos_mcp.ingest.code.used_names import UsedNames, used_names
from memos_mcp.ingest.data.data_shape import DataShape
from memos_mcp.ingest.data.data_summary import summary
from memos_mcp.ingest.reading import SourceText
from memos_mcp.ingest.text import headings
from memos_mcp.ingest.text.parts import SourcePart
from memos_mcp.ingest.text.text_lines import LineRange, cost, cut, lines_of
from memos_mcp.ingest.text.units import MIN_SPACE, ChunkUnits, Level, Unit, chunk_space, max_cost, merge_units

_ELLIPSIS: Final = "…"

logger = logging.getLogger(__name__)


def chunks(source: SourceText) -> list[Chunk]:
    """Return the chunks of a file in order; each line that is not blank is in a chunk or in an equal one.

    A single long line is not cut: its chunk may exceed the window of a model. A file of data that does not fit into one
    chunk is summarized in one.
    """
    if source.data is not None:
        rest = chunks(replace(source, text=source.data.rest, data=None)) if source.data.rest else []
        return [_data_chunk(source, source.data), *rest]
    found: dict[str, Chunk] = {}
    for part in source.parts or (SourcePart(source.text, source.language),):
        for chunk in _PartChunker(source, part).chunks():
            found.setdefault(chunk.content, chunk)
    return list(found.values())


def _data_chunk(source: SourceText, shape: DataShape) -> Chunk:
    """Return a file of data whole when it fits into a chunk, otherwise a summary of it."""
    space = chunk_space(source.path)
    data = {"format": shape.format, "count": shape.count, "complete": shape.size is None}
    text = source.text.strip("\n")
    first = source.text[: source.text.index(text)].count("\n") + 1
    shown = text if cost(text) <= space and shape.size is None else summary(shape, space)
    last = first + text.count("\n")
    return Chunk(source.path, source.language, None, (), first, last, shown, details=_encoding(source), data=data)


def _encoding(source: SourceText) -> dict[str, str]:
    return {} if source.encoding is None else {"encoding": source.encoding}


class _PartChunker:
    """Cuts one part of a file."""

    def __init__(self, source: SourceText, part: SourcePart) -> None:
        self._source = source
        self._part = part
        self._cut_as = part.cut_as or part.language or ""
        self._lines = lines_of(part.text)
        self._space = max(chunk_space(source.path) - sum(cost(name) + 1 for name in part.names), MIN_SPACE)
        label = {} if part.label is None else {"symbol": part.label}
        self._details = {**_encoding(source), **label, **part.details}

    def chunks(self) -> Iterator[Chunk]:
        units, names = self._units()
        for merged in merge_units(units, self._lines, self._space):
            chunk = self._chunk(merged, names)
            if chunk is not None:
                yield chunk

    def _units(self) -> tuple[Iterable[Unit], UsedNames | None]:
        """Return the units of the part, and the names that they use where its syntax shows them."""
        if self._cut_as in headings.LANGUAGES:
            return headings.units(self._lines, self._cut_as, self._space), None
        if self._cut_as in GRAMMARS:
            text = self._part.text if self._part.parsed is None else self._part.parsed
            try:
                parsed = syntax.parse(text, self._cut_as)
                units = list(syntax.units(parsed, self._lines, self._space))
                return units, used_names(parsed.root, parsed.source, self._cut_as)
            except syntax.NotParsed:
                logger.debug("%s is cut by lines: it does not parse as the language of its name", self._source.path)
            except Exception:
                logger.warning("%s is cut by lines: its syntax could not be read", self._source.path, exc_info=True)
        parts = cut(self._lines, LineRange(0, len(self._lines.texts)), max_cost(Level(), self._lines, self._space))
        return (Unit(Level(), (), part, loose=False) for part in parts), None

    def _chunk(self, merged: ChunkUnits, names: UsedNames | None) -> Chunk | None:
        """Return merged units as a chunk without the blank lines around them; None when all lines are blank."""
        lines = self._lines.texts
        written = [index for index in range(*merged.lines) if lines[index].strip()]
        if not written:
            return None
        first, last = written[0], written[-1]
        texts = list(lines[first : last + 1])
        if merged.repeats_head and merged.level.head is not None:
            texts[:0] = self._shortened_head(merged.level.head, texts[0])
        text = "\n".join(texts)
        return Chunk(
            self._source.path,
            self._part.language,
            merged.symbol,
            merged.enclosing,
            self._number(first),
            self._number(last),
            text,
            section=self._part.names,
            prose=self._cut_as in PROSE,
            details=self._details,
            links=Links() if names is None else names.links(*merged.lines, text, merged.defined),
        )

    def _number(self, line: int) -> int:
        return line + 1 if self._part.line_numbers is None else self._part.line_numbers[line]

    def _shortened_head(self, head: LineRange, below: str) -> list[str]:
        """Return a signature with a comment that marks the omission."""
        indent = below[: len(below) - len(below.lstrip())]
        return [*self._lines.texts[head.start : head.end], f"{indent}{GRAMMARS[self._cut_as].comment} {_ELLIPSIS}"]
