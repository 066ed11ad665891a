"""Walks a folder: yields every file that may be read, and the reason for every other one."""

import os
import stat
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest import file_names
from memos_mcp.ingest.gitignore import GitignoreRules, rules_above

MAX_BYTES: Final = 1024 * 1024
"""The limit for one file. Files written by hand are smaller; larger ones are data."""


class SkipReason(StrEnum):
    """Why a file or folder is not ingested; the values are for people."""

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
    """A file that may be read. `path` is relative to the root, with slashes."""

    path: str
    file: Path


@dataclass(frozen=True, slots=True)
class _Folder:
    location: Path
    path: str
    """Relative to the root, with a trailing slash; empty for the root."""
    repository_path: str
    """Relative to the repository's root, for its rules."""
    rules: GitignoreRules


def walk(root: Path) -> Iterator[FoundFile | Skipped]:
    """Yield every file below a folder once, sorted by name within each folder; links are not followed.

    Raise `NotADirectoryError` or another `OSError` when the root itself cannot be read.
    """
    root = root.resolve()
    os.scandir(root).close()
    rules, repository_path = rules_above(root)
    pending = [_Folder(root, "", repository_path, rules)]
    while pending:
        folder = pending.pop()
        subfolders: list[_Folder] = []
        for entry in _list(folder):
            if isinstance(entry, _Folder):
                subfolders.append(entry)
            else:
                yield entry
        pending.extend(reversed(subfolders))


def _list(folder: _Folder) -> Iterator[FoundFile | Skipped | _Folder]:
    try:
        with os.scandir(folder.location) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        yield Skipped(folder.path, SkipReason.UNREADABLE)
        return
    siblings = {entry.name for entry in entries}
    if folder.path and file_names.marks_foreign(siblings):
        yield Skipped(folder.path, SkipReason.FOREIGN)
        return
    rules = folder.rules.enter(folder.location, folder.repository_path)
    for entry in entries:
        yield _classify(entry, folder, rules, siblings)


def _classify(
    entry: os.DirEntry[str], folder: _Folder, rules: GitignoreRules, siblings: AbstractSet[str]
) -> FoundFile | Skipped | _Folder:
    path = f"{folder.path}{entry.name}"
    if not entry.name.isprintable():  # control characters, line ends, and bytes that are not UTF-8
        return Skipped(f"{folder.path}{ascii(entry.name)[1:-1]}", SkipReason.UNNAMEABLE)
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return Skipped(path, SkipReason.UNREADABLE)
    repository_path = f"{folder.repository_path}/{entry.name}" if folder.repository_path else entry.name
    if stat.S_ISDIR(status.st_mode):
        if file_names.is_foreign(entry.name, siblings):
            return Skipped(f"{path}/", SkipReason.FOREIGN)
        if rules.ignores(repository_path, is_folder=True):
            return Skipped(f"{path}/", SkipReason.IGNORED)
        return _Folder(folder.location / entry.name, f"{path}/", repository_path, rules)
    reason = _reason(entry.name, status, rules, repository_path)
    return FoundFile(path, folder.location / entry.name) if reason is None else Skipped(path, reason)


def _reason(name: str, status: os.stat_result, rules: GitignoreRules, repository_path: str) -> SkipReason | None:
    """Return the reason to skip a file without opening it, or None. A link is always skipped."""
    # The .git of a worktree or submodule is a file.
    if rules.ignores(repository_path, is_folder=False) or name == ".git":
        return SkipReason.IGNORED
    if not stat.S_ISREG(status.st_mode):
        return SkipReason.LINK if stat.S_ISLNK(status.st_mode) else SkipReason.SPECIAL
    if file_names.may_be_secret(name):
        return SkipReason.SECRET
    if file_names.is_generated(name):
        return SkipReason.GENERATED
    if status.st_size == 0:
        return SkipReason.EMPTY
    return SkipReason.TOO_LARGE if status.st_size > MAX_BYTES else None
