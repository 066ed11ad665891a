"""Cuts the text of a source file into chunks, in the way that suits its language."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from memos_mcp.domain.chunk import PROSE, Chunk
from memos_mcp.ingest import headings, syntax
from memos_mcp.ingest.data_shape import DataShape
from memos_mcp.ingest.data_summary import summary
from memos_mcp.ingest.grammars import GRAMMARS
from memos_mcp.ingest.reading import SourceText
from memos_mcp.ingest.text_lines import LineRange, TextLines, cut, lines_of
from memos_mcp.ingest.units import ChunkUnits, Level, Unit, chunk_space, max_cost, merge_units

_ELLIPSIS: Final = "…"

logger = logging.getLogger(__name__)


def chunks(source: SourceText) -> list[Chunk]:
    """Return the chunks of a file in order; each line that is not blank is in a chunk or in an equal one.

    A single long line is not cut: its chunk may exceed the window of a model. A file of data that does not fit into one
    chunk is summarized in one.
    """
    lines, space = lines_of(source.text), chunk_space(source.path)
    if source.data is not None:
        rest = chunks(replace(source, text=source.data.rest, data=None)) if source.data.rest else []
        return [_data_chunk(source, source.data, lines, space), *rest]
    found: dict[str, Chunk] = {}
    for part in merge_units(_units(source, lines, space), lines, space):
        chunk = _chunk(source, lines, part)
        if chunk is not None:
            found.setdefault(chunk.content, chunk)
    return list(found.values())


def _data_chunk(source: SourceText, shape: DataShape, lines: TextLines, space: int) -> Chunk:
    """Return a file of data whole when it fits into a chunk, otherwise a summary of it."""
    data = {"format": shape.format, "count": shape.count, "complete": shape.size is None}
    text = source.text.strip("\n")
    first = source.text[: source.text.index(text)].count("\n")
    shown = text if lines.sums[-1] <= space and shape.size is None else summary(shape, space)
    return Chunk(source.path, source.language, None, (), first + 1, first + text.count("\n") + 1, shown, data)


def _units(source: SourceText, lines: TextLines, space: int) -> Iterable[Unit]:
    if source.language in PROSE:
        return headings.units(lines, source.language or "", space)
    if source.language in GRAMMARS:
        try:
            return list(syntax.units(source.text, lines, source.language or "", space))
        except syntax.NotParsed:
            logger.debug("%s is cut by lines: it does not parse as the language of its name", source.path)
        except Exception:
            logger.warning("%s is cut by lines: its syntax could not be read", source.path, exc_info=True)
    parts = cut(lines, LineRange(0, len(lines.texts)), max_cost(Level(), lines, space))
    return (Unit(Level(), (), part, loose=False) for part in parts)


def _chunk(source: SourceText, lines: TextLines, part: ChunkUnits) -> Chunk | None:
    """Return merged units as a chunk without the blank lines around them; None when all lines are blank."""
    written = [index for index in range(*part.lines) if lines.texts[index].strip()]
    if not written:
        return None
    first, last = written[0], written[-1] + 1
    texts = list(lines.texts[first:last])
    if part.repeats_head and part.level.head is not None:
        texts[:0] = _shortened_head(source, lines, part.level.head, texts[0])
    return Chunk(source.path, source.language, part.symbol, part.enclosing, first + 1, last, "\n".join(texts))


def _shortened_head(source: SourceText, lines: TextLines, head: LineRange, below: str) -> list[str]:
    """Return a signature with a comment that marks the omission."""
    comment = GRAMMARS[source.language or ""].comment
    indent = below[: len(below) - len(below.lstrip())]
    return [*lines.texts[head.start : head.end], f"{indent}{comment} {_ELLIPSIS}"]
