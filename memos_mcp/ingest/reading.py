"""Reads one file: returns its text, or the reason to skip it (binary, generated, holds a secret, still changing)."""

import errno
import os
import re
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Final

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.languages import language
from memos_mcp.ingest.secret_scan import holds_secret
from memos_mcp.ingest.walk import MAX_BYTES, FoundFile, SkipReason, unread

_ATTEMPTS: Final = 3

_MAX_LINE_CHARS: Final = 20_000
"""Nobody writes longer lines by hand; with this limit a line always fits into a memory."""

_MINIFIED_LINE_CHARS: Final = 110
"""An average line of minified code has more characters than this; the limit is that of GitHub's linguist."""

_MINIFIED_SUFFIXES: Final = frozenset({".js", ".mjs", ".cjs", ".css"})

_HEAD_LINES: Final = 12
_GENERATED_MARK: Final = re.compile(
    # The form of Go (https://go.dev/s/generatedcode), the mark of Phabricator, and the text of most other generators.
    r"^\W*code generated .* do not edit\.?\W*$"
    r"|^\W*@generated\b"
    r"|^\W*(?:(?:this|the) (?:file|code|header|module) (?:is|was|has been) )?(?:auto(?:matically|[- ])? ?generated)\b"
    r"|^\W*generated (?:by|from|with) .*\bdo not (?:edit|modify)\b"
    r"|^\W*do not (?:edit|modify)\b.*\bgenerated\b",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"\s*(?:#|//|/\*|\*|--|;|<!--|%|\.\. |\"\"\")")


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a file: decoded, without a byte order mark, with newlines as the only line ends.

    `digest` is the SHA-256 of its bytes.
    """

    path: str
    digest: bytes
    language: str | None
    text: str


def read(found: FoundFile) -> SourceText | Skipped:
    """Read a file that the walk found, at most `MAX_BYTES` and one byte of it. Only the disk can block."""
    data = _read_stable(found)
    return data if isinstance(data, Skipped) else _source_text(found, data, sha256(data).digest())


def read_changed(found: FoundFile, known_digest: bytes | None) -> SourceText | Skipped | None:
    """Read a file, and return None when its digest is the known one: it was decoded and judged before."""
    data = _read_stable(found)
    if isinstance(data, Skipped):
        return data
    digest = sha256(data).digest()
    return None if digest == known_digest else _source_text(found, data, digest)


def _source_text(found: FoundFile, data: bytes, digest: bytes) -> SourceText | Skipped:
    text = _text(found.path, data)
    if isinstance(text, SkipReason):
        return Skipped(found.path, text)
    return SourceText(found.path, digest, language(found.path, text), text)


def _text(path: str, data: bytes) -> str | SkipReason:
    """Return the text of a file, or the reason to skip it."""
    if b"\x00" in data:
        return SkipReason.NOT_UTF8 if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else SkipReason.BINARY
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return SkipReason.NOT_UTF8
    if not text.strip():
        return SkipReason.EMPTY
    if holds_secret(data):
        return SkipReason.SECRET
    return SkipReason.GENERATED if _is_generated(path, text) else text


def _read_stable(found: FoundFile) -> bytes | Skipped:
    """Return the bytes of a file that did not change while it was read."""
    for _ in range(_ATTEMPTS):
        data = _read_once(found)
        if data is not None:
            return data
    return Skipped(found.path, SkipReason.CHANGING, transient=True)


def _read_once(found: FoundFile) -> bytes | Skipped | None:
    """Return the bytes of a file, or None when it changed meanwhile."""
    # The file may have become a link or a pipe since the walk: a link is not followed, and a pipe does not block.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(found.file, flags), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                return Skipped(found.path, SkipReason.SPECIAL)
            data = file.read(MAX_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        if error.errno == errno.ELOOP and found.file.is_symlink():
            return Skipped(found.path, SkipReason.LINK)
        return unread(found.path, error, found.file, found.device)
    if len(data) > MAX_BYTES:
        return Skipped(found.path, SkipReason.TOO_LARGE)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(data) != after.st_size:
        return None
    return data


def _is_generated(path: str, text: str) -> bool:
    """Whether a tool wrote this text, judging by its first lines and by the length of its lines."""
    lines = text.split("\n")
    if max(map(len, lines)) > _MAX_LINE_CHARS:
        return True
    if PurePosixPath(path).suffix in _MINIFIED_SUFFIXES and len(text) > _MINIFIED_LINE_CHARS * len(lines):
        return True
    head = lines[:_HEAD_LINES]
    return any(_COMMENT.match(line) and _GENERATED_MARK.match(line) for line in head)
