"""What git lists of a folder: tracked files, others that are not ignored, ignored ones, and repositories inside."""

import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unicodedata import normalize

from memos_mcp.ingest.git.command import GitRefused, git
from memos_mcp.ingest.git.status import GitStatus

_SUBMODULE: Final = "160000"
"""The mode of an entry of the index that is a commit of another repository."""


@dataclass(frozen=True, slots=True)
class GitListing:
    """The files below a folder, by paths relative to it. Folders have no trailing slash.

    An ignored folder is listed instead of its contents, unless it holds a tracked file.
    """

    tracked: AbstractSet[str]
    tracked_folders: AbstractSet[str]
    untracked: AbstractSet[str]
    untracked_folders: AbstractSet[str]
    ignored: AbstractSet[str]
    ignored_folders: AbstractSet[str]
    repositories: AbstractSet[str]
    """Submodules, and repositories that git does not track."""

    def status(self, path: str, *, is_folder: bool) -> GitStatus:
        status = self._status(path, is_folder=is_folder)
        if status is GitStatus.UNLISTED and not path.isascii():  # git on macOS composes characters (precomposeUnicode)
            return self._status(normalize("NFC", path), is_folder=is_folder)
        return status

    def _status(self, path: str, *, is_folder: bool) -> GitStatus:
        tracked, untracked, ignored = self.tracked, self.untracked, self.ignored
        if is_folder:
            tracked, untracked, ignored = self.tracked_folders, self.untracked_folders, self.ignored_folders
        if path in tracked:
            return GitStatus.TRACKED
        if path in untracked or (is_folder and path in self.repositories):
            return GitStatus.UNTRACKED
        return GitStatus.IGNORED if path in ignored else GitStatus.UNLISTED

    def enter(self, folder: Path, path: str) -> "GitListing":  # noqa: ARG002 - one listing holds all folders
        return self

    def is_repository(self, path: str, *, has_git_entry: bool) -> bool:  # noqa: ARG002 - git has decided
        return path in self.repositories


def list_work_tree(folder: Path, top: Path) -> GitListing:
    """Return what git lists of a folder in the work tree of the repository at `top`.

    Raise `GitRefused` when git cannot decide, and `SourceUnavailable` when it could currently not read something.
    """
    _check_top(folder, top)
    staged = [line.partition("\t") for line in _lines(folder, "--stage")]
    modes = {path: information.split(" ", 1)[0] for information, _, path in staged}
    others = _lines(folder, "--others", "--exclude-standard")
    ignored = _lines(folder, "--others", "--ignored", "--exclude-standard", "--directory")
    submodules = {path for path, mode in modes.items() if mode == _SUBMODULE}
    tracked = modes.keys() - submodules
    untracked, nested = _split(others)
    ignored_files, ignored_folders = _split(ignored)
    return GitListing(
        tracked=tracked,
        tracked_folders=_parents(tracked | submodules) | submodules,
        untracked=untracked,
        untracked_folders=_parents(untracked | nested),
        ignored=ignored_files,
        ignored_folders=ignored_folders,
        repositories=submodules | nested,
    )


def _check_top(folder: Path, top: Path) -> None:
    """Check that git finds the same work tree, and that its rules do not exclude the folder.

    The configuration of a repository can name another work tree.
    """
    found = os.fsdecode(git(folder, "rev-parse", "--show-toplevel").stdout).removesuffix("\n")
    if not found or not Path(found).samefile(top):
        raise GitRefused("git finds another work tree")
    if folder != top:
        path = f"./{folder.relative_to(top).as_posix()}"  # a colon at the beginning would have a meaning
        if git(top, "check-ignore", "--quiet", "--", path, accepted=(0, 1)).returncode == 0:
            raise GitRefused("the repository ignores this folder")


def _lines(folder: Path, *options: str) -> list[str]:
    output = git(folder, "ls-files", "-z", *options).stdout
    return os.fsdecode(output).split("\0")[:-1]


def _split(listed: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the files and the folders of a listing, in which folders end with a slash."""
    files: set[str] = set()
    folders: set[str] = set()
    for path in listed:
        (folders if path.endswith("/") else files).add(path.rstrip("/"))
    return files, folders


def _parents(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    return folders
