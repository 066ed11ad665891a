"""Walks a folder: every file that may be read, and for the rest the reason why not."""

import os
import stat
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest import file_names as names
from memos_mcp.ingest.gitignore import Ignoring, above

MAX_BYTES: Final = 1024 * 1024
"""Of one file. What people write by hand is smaller; what is larger is data."""


class SkipReason(StrEnum):
    """Why something is not remembered; the values are for people."""

    IGNORED = "ignored by .gitignore"
    FOREIGN = "fetched, built or cached"
    LINK = "symbolic link"
    SPECIAL = "not a regular file"
    EMPTY = "empty"
    TOO_LARGE = "larger than 1 MiB"
    BINARY = "binary"
    NOT_UTF8 = "not UTF-8"
    GENERATED = "generated"
    SECRET = "may hold a secret"  # noqa: S105 - a reason, not a password
    UNREADABLE = "cannot be read"
    UNNAMEABLE = "its name cannot be written"
    CHANGING = "changed while it was read"
    VANISHED = "vanished while it was read"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be read. `path` is relative to the root, with slashes; `size` as it was then, in bytes."""

    path: str
    file: Path
    size: int


@dataclass(frozen=True, slots=True)
class _Folder:
    place: Path
    path: str
    """Relative to the root, with a slash at its end; empty for the root."""
    inside: str
    """Relative to the repository's top, for its rules."""
    ignoring: Ignoring


def walk(root: Path) -> Iterator[FoundFile | Skipped]:
    """Yield every file below a folder, by name and folder by folder; each once, since no link is followed.

    Raise `NotADirectoryError` or another `OSError` when the root itself cannot be read.
    """
    root = root.resolve()
    os.scandir(root).close()
    ignoring, inside = above(root)
    waiting = [_Folder(root, "", inside, ignoring)]
    while waiting:
        folder = waiting.pop()
        inner: list[_Folder] = []
        for step in _list(folder):
            if isinstance(step, _Folder):
                inner.append(step)
            else:
                yield step
        waiting.extend(reversed(inner))


def _list(folder: _Folder) -> Iterator[FoundFile | Skipped | _Folder]:
    try:
        with os.scandir(folder.place) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        yield Skipped(folder.path, SkipReason.UNREADABLE)
        return
    names_here = {entry.name for entry in entries}
    if folder.path and names.marks_foreign(names_here):
        yield Skipped(folder.path, SkipReason.FOREIGN)
        return
    ignoring = folder.ignoring.within(folder.place, folder.inside)
    for entry in entries:
        yield _judge(entry, folder, ignoring, names_here)


def _judge(
    entry: os.DirEntry[str], folder: _Folder, ignoring: Ignoring, neighbours: AbstractSet[str]
) -> FoundFile | Skipped | _Folder:
    path = f"{folder.path}{entry.name}"
    if not entry.name.isprintable():  # control characters, line ends, and bytes that are not UTF-8
        return Skipped(f"{folder.path}{ascii(entry.name)[1:-1]}", SkipReason.UNNAMEABLE)
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return Skipped(path, SkipReason.UNREADABLE)
    inside = f"{folder.inside}/{entry.name}" if folder.inside else entry.name
    if stat.S_ISDIR(status.st_mode):
        if names.is_foreign(entry.name, neighbours):
            return Skipped(f"{path}/", SkipReason.FOREIGN)
        if ignoring.ignores(inside, is_folder=True):
            return Skipped(f"{path}/", SkipReason.IGNORED)
        return _Folder(folder.place / entry.name, f"{path}/", inside, ignoring)
    reason = _reason(entry.name, status, ignoring, inside)
    return FoundFile(path, folder.place / entry.name, status.st_size) if reason is None else Skipped(path, reason)


def _reason(name: str, status: os.stat_result, ignoring: Ignoring, inside: str) -> SkipReason | None:
    """Return why a file is skipped without opening it, if so. A link is skipped wherever it leads."""
    # A worktree's or a submodule's .git is a file.
    if ignoring.ignores(inside, is_folder=False) or name == ".git":
        return SkipReason.IGNORED
    if not stat.S_ISREG(status.st_mode):
        return SkipReason.LINK if stat.S_ISLNK(status.st_mode) else SkipReason.SPECIAL
    if names.may_be_secret(name):
        return SkipReason.SECRET
    if names.is_generated(name):
        return SkipReason.GENERATED
    if status.st_size == 0:
        return SkipReason.EMPTY
    return SkipReason.TOO_LARGE if status.st_size > MAX_BYTES else None
