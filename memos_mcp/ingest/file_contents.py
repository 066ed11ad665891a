"""Makes a text, or parts, of the bytes of a file, or finds the reason to skip it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from memos_mcp.ingest.files.languages import language
from memos_mcp.ingest.files.secret_scan import holds_secret
from memos_mcp.ingest.files.selection import MAX_BYTES
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.formats.extraction import NotExtracted, NotFinished, NotInstalled, extract, is_extracted
from memos_mcp.ingest.formats.notebooks import NotANotebook, notebook_parts
from memos_mcp.ingest.formats.pages import page_parts
from memos_mcp.ingest.formats.sections import component_parts
from memos_mcp.ingest.text.parts import SourcePart
from memos_mcp.ingest.text.text_encoding import DecodedText, NotText, UnknownEncoding, decode

_NOTEBOOK: Final = ".ipynb"
_MAX_CELLS: Final = 10_000
"""Nobody writes more cells; each is a chunk at least."""

_PAGES: Final = frozenset({".html", ".htm", ".xhtml"})


@dataclass(frozen=True, slots=True)
class Contents:
    """The text of a file with newlines as the only line ends, its language, and its parts if it has several.

    Of a notebook and of an office file, the text is what its parts hold. `encoding` is None for UTF-8.
    """

    text: str
    language: str | None = None
    encoding: str | None = None
    parts: Sequence[SourcePart] = ()


def read_contents(path: str, data: bytes) -> Contents | SkipReason:
    """Return what is to be stored of a file; a notebook, a component or an office file consists of parts."""
    if is_extracted(path):
        return _extracted(path, data)
    try:
        return _text_contents(path, decode(data))
    except NotText:
        return SkipReason.BINARY
    except UnknownEncoding:
        return SkipReason.UNKNOWN_ENCODING
    except NotANotebook:
        return SkipReason.MALFORMED


def _text_contents(path: str, decoded: DecodedText) -> Contents | SkipReason:
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    parts = _parts(path, text)
    if path.lower().endswith(_NOTEBOOK):
        text = _joined(parts)
        if len(parts) > _MAX_CELLS or len(text) > MAX_BYTES:
            return SkipReason.TOO_LARGE
    if not text.strip():
        return SkipReason.EMPTY
    if holds_secret(text.encode(errors="surrogatepass")):
        return SkipReason.SECRET
    return Contents(text, language(path, text), decoded.encoding, parts)


def _extracted(path: str, data: bytes) -> Contents | SkipReason:
    try:
        parts = extract(path, data)
    except NotInstalled:
        return SkipReason.NEEDS_EXTRA
    except NotExtracted:
        return SkipReason.MALFORMED
    except NotFinished:
        return SkipReason.UNFINISHED
    if not parts:
        return SkipReason.WITHOUT_TEXT
    text = _joined(parts)
    return SkipReason.SECRET if holds_secret(text.encode(errors="surrogatepass")) else Contents(text, parts=parts)


def _joined(parts: Sequence[SourcePart]) -> str:
    return "\n".join(part.text for part in parts)


def _parts(path: str, text: str) -> Sequence[SourcePart]:
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == _NOTEBOOK and text.strip():
        return notebook_parts(text)
    if suffix in _PAGES:
        return page_parts(text)
    return component_parts(path, text)
