"""Makes chunks of a document, each way of cutting for its languages."""

import logging
from collections.abc import Iterable
from typing import Final

from memos_mcp.domain.chunk import PROSE, Chunk
from memos_mcp.ingest import headings, syntax
from memos_mcp.ingest.grammars import GRAMMARS
from memos_mcp.ingest.reading import SourceText
from memos_mcp.ingest.text_lines import Stretch, TextLines, cut, lines_of
from memos_mcp.ingest.units import ChunkUnits, Level, Unit, pack, room, space

_ELLIPSIS: Final = "…"

logger = logging.getLogger(__name__)


def chunks(document: SourceText) -> list[Chunk]:
    """Return the chunks of a document in order; every line that is not blank is in one, or in its equal.

    What cannot be cut sensibly, a single long line, may be longer than a model's window.
    """
    lines = lines_of(document.text)
    left = space(document.path)
    made: dict[str, Chunk] = {}
    for part in pack(_units(document, lines, left), lines, left):
        chunk = _chunk(document, lines, part)
        if chunk is not None:
            made.setdefault(chunk.content, chunk)
    return list(made.values())


def _units(document: SourceText, lines: TextLines, left: int) -> Iterable[Unit]:
    if document.language in PROSE:
        return headings.units(lines, document.language or "", left)
    if document.language in GRAMMARS:
        try:
            return list(syntax.units(document.text, lines, document.language or "", left))
        except syntax.NotParsed:
            logger.debug("%s is cut by lines: it is not what its name says", document.path)
        except Exception:
            logger.warning("%s is cut by lines: its syntax could not be read", document.path, exc_info=True)
    whole = Stretch(0, len(lines.texts))
    pieces = cut(lines, whole, room(Level(), lines, left))
    return (Unit(Level(), (), piece, loose=False) for piece in pieces)


def _chunk(document: SourceText, lines: TextLines, part: ChunkUnits) -> Chunk | None:
    """Return a pack as a chunk without the blank lines around it; None when there is nothing else."""
    written = [place for place in range(*part.lines) if lines.texts[place].strip()]
    if not written:
        return None
    first, last = written[0], written[-1] + 1
    texts = list(lines.texts[first:last])
    if part.repeats_head and part.level.head is not None:
        texts[:0] = _opening(document, lines, part.level.head, texts[0])
    return Chunk(document.path, document.language, part.symbol, part.enclosing, first + 1, last, "\n".join(texts))


def _opening(document: SourceText, lines: TextLines, head: Stretch, below: str) -> list[str]:
    """Return a signature with a comment that says that something is left out."""
    comment = GRAMMARS[document.language or ""].comment
    indent = below[: len(below) - len(below.lstrip())]
    return [*lines.texts[head.start : head.end], f"{indent}{comment} {_ELLIPSIS}"]
