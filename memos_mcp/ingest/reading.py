"""Reads one file: a whole, unchanging text that people wrote and that gives nothing away, or the reason why not."""

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
from memos_mcp.ingest.walk import MAX_BYTES, FoundFile, SkipReason

_ATTEMPTS: Final = 3

_LONGEST_LINE: Final = 20_000
"""Characters that no one writes in one line; a line of a chunk stays within a memory."""

_MINIFIED: Final = 110
"""Characters of an average line of minified code, as GitHub's linguist draws the line."""

_MINIFIED_SUFFIXES: Final = frozenset({".js", ".mjs", ".cjs", ".css"})

_HEAD_LINES: Final = 12
_SAYS_GENERATED: Final = re.compile(
    # Go's own form (https://go.dev/s/generatedcode), Phabricator's mark, and what most other generators write.
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
    """The text of a file: decoded, without a byte order mark, its lines ended by newlines alone.

    `digest` is the SHA-256 of its bytes.
    """

    path: str
    digest: bytes
    language: str | None
    text: str


def read(found: FoundFile) -> SourceText | Skipped:
    """Read a file that was found; at most `MAX_BYTES` and one are held. Nothing here blocks but the disk."""
    data = _whole(found)
    text = data if isinstance(data, SkipReason) else _text(found.path, data)
    if isinstance(data, SkipReason) or isinstance(text, SkipReason):
        return Skipped(found.path, SkipReason(text), transient=text is SkipReason.CHANGING)
    return SourceText(found.path, sha256(data).digest(), language(found.path, text), text)


def _text(path: str, data: bytes) -> str | SkipReason:
    """Return what a file says, or why that is not for the memory."""
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


def _whole(found: FoundFile) -> bytes | SkipReason:
    """Return a file's bytes as they were at one moment."""
    for _ in range(_ATTEMPTS):
        data = _once(found)
        if data is not SkipReason.CHANGING:
            return data
    return SkipReason.CHANGING


def _once(found: FoundFile) -> bytes | SkipReason:
    # What was a file a moment ago may be a link or a pipe by now: neither is followed, and neither can hold us up.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(found.file, flags), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                return SkipReason.SPECIAL
            data = file.read(MAX_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        return SkipReason.VANISHED if isinstance(error, FileNotFoundError) else SkipReason.UNREADABLE
    if len(data) > MAX_BYTES:
        return SkipReason.TOO_LARGE
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(data) != after.st_size:
        return SkipReason.CHANGING
    return data


def _is_generated(path: str, text: str) -> bool:
    """Whether a tool has written this, by what its head says and by how long its lines are."""
    lines = text.split("\n")
    if max(map(len, lines)) > _LONGEST_LINE:
        return True
    if PurePosixPath(path).suffix in _MINIFIED_SUFFIXES and len(text) > _MINIFIED * len(lines):
        return True
    head = lines[:_HEAD_LINES]
    return any(_COMMENT.match(line) and _SAYS_GENERATED.match(line) for line in head)
