"""Reads one file: returns its text, or the reason to skip it (binary, generated, holds a secret, still changing)."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.data.data_files import shape_of
from memos_mcp.ingest.data.data_shape import DataShape
from memos_mcp.ingest.file_contents import read_contents
from memos_mcp.ingest.files.file_names import data_format
from memos_mcp.ingest.files.generated import sign_of_a_tool
from memos_mcp.ingest.files.selection import FileRules
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, unread
from memos_mcp.ingest.text.parts import SourcePart

_ATTEMPTS: Final = 3

_UNKNOWN: Final = frozenset({SkipReason.UNFINISHED, SkipReason.NEEDS_EXTRA})
"""Reasons that say nothing about the file, so that what is recorded of it stays."""

_TEXT_END: Final = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
"""The beginning of a character of UTF-8."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a file: decoded, without a byte order mark, with newlines as the only line ends.

    `digest` is the SHA-256 of its bytes, and of what else decides about its chunks. `encoding` is None for UTF-8.
    A file of several languages, cells or pages has `parts`, which are cut instead of the text; `data` describes a file
    of data.
    """

    path: str
    digest: bytes
    language: str | None
    text: str
    encoding: str | None = None
    parts: Sequence[SourcePart] = ()
    data: DataShape | None = None


@dataclass(frozen=True, slots=True)
class _FileBytes:
    """The bytes of a file, or its first ones: then `size` and `changed` are those of the whole file."""

    data: bytes
    size: int | None = None
    changed: int = 0

    def digest(self, rules: FileRules) -> bytes:
        """Return a digest that changes with the file, and when a pattern begins or ceases to include it."""
        sign = b"included" if rules.included else b"" if self.size is None else f"{self.size} {self.changed}".encode()
        return sha256(self.data + sign).digest()


def read(found: FoundFile) -> SourceText | Skipped:
    """Read a file that the walk found, at most its limit and one byte of it. Only the disk can block."""
    file = _read_stable(found)
    return file if isinstance(file, Skipped) else _source_text(found, file)


def read_changed(found: FoundFile, known_digest: bytes | None) -> SourceText | Skipped | None:
    """Read a file, and return None when its digest is the known one: it was decoded and judged before."""
    file = _read_stable(found)
    if isinstance(file, Skipped):
        return file
    return None if file.digest(found.rules) == known_digest else _source_text(found, file)


def _source_text(found: FoundFile, file: _FileBytes) -> SourceText | Skipped:
    contents = read_contents(found.path, file.data)
    if isinstance(contents, SkipReason):
        return Skipped(found.path, contents, transient=contents in _UNKNOWN)
    text, included = contents.text, found.rules.included
    shape = None if included or contents.parts else shape_of(found.path, text, is_cut=file.size is not None)
    reason = None if shape else sign_of_a_tool(contents.language, text, included=included)
    if file.size is not None:
        reason = None if shape else SkipReason.TOO_LARGE
        shape = shape and replace(shape, read=len(file.data), size=file.size)
    if reason is not None:
        return Skipped(found.path, reason)
    digest = file.digest(found.rules)
    return SourceText(found.path, digest, contents.language, text, contents.encoding, contents.parts, shape)


def _read_stable(found: FoundFile) -> _FileBytes | Skipped:
    """Return the bytes of a file that did not change while it was read."""
    for _ in range(_ATTEMPTS):
        data = _read_once(found)
        if data is not None:
            return data
    return Skipped(found.path, SkipReason.CHANGING, transient=True)


def _read_once(found: FoundFile) -> _FileBytes | Skipped | None:
    """Return the bytes of a file, or None when it changed meanwhile."""
    # The file may have become a link or a pipe since the walk: a link is not followed, and a pipe does not block.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(found.file, flags), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                return Skipped(found.path, SkipReason.SPECIAL)
            data = file.read(found.rules.max_bytes + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        if error.errno == errno.ELOOP and found.file.is_symlink():
            return Skipped(found.path, SkipReason.LINK)
        return unread(found.path, error, found.file, found.device)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        return None
    return _within_limit(found, data, after)


def _within_limit(found: FoundFile, data: bytes, status: os.stat_result) -> _FileBytes | Skipped | None:
    """Return the bytes of a file, of a large one that may be data the first part, or None when it changed meanwhile."""
    if len(data) <= found.rules.max_bytes:
        return _FileBytes(data) if len(data) == status.st_size else None
    if found.rules.included or data_format(found.path) is None:
        return Skipped(found.path, SkipReason.TOO_LARGE)
    return _FileBytes(_first_lines(data[:-1]), status.st_size, status.st_mtime_ns)


def _first_lines(data: bytes) -> bytes:
    """Return the first part of a file without the line that was cut, or else without the character that was cut."""
    newline = data.rfind(b"\n") + 1
    return data[:newline] if newline else _TEXT_END.sub(b"", data)
