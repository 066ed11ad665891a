"""Walks a folder: yields every file that may be read, and the reason for every other one."""

import errno
import os
import stat
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from memos_mcp.domain.errors import SourceUnavailable
from memos_mcp.domain.limits import is_one_line
from memos_mcp.domain.source import Skipped, is_within, parents
from memos_mcp.ingest.files.file_stamps import Stamp, stamp_of
from memos_mcp.ingest.files.selection import UNNAMED, WITHOUT_PATTERNS, FileRules, FileSelection
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.git.status import GitStatus, IgnoreRules
from memos_mcp.ingest.git.work_trees import Decision, decide, decide_inside, is_linked_worktree


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be read. `path` is relative to the root, with slashes; `device` is that of its folder.

    `stamp` changes with the file. It is None while that is not certain.
    """

    path: str
    file: Path
    device: int | None = None
    stamp: Stamp | None = None
    rules: FileRules = UNNAMED


@dataclass(frozen=True, slots=True)
class _Folder:
    location: Path
    path: str
    """Relative to the root, with a trailing slash; empty for the root."""
    device: int
    parent_device: int
    rules: IgnoreRules
    rules_path: str
    """Relative to the folder that the rules know."""
    in_work_tree: bool
    selection: FileSelection


class FolderWalk:
    """Iterates over every file below a folder once, sorted by name within each folder; links are not followed.

    `refusals` says why git does not decide what is ignored, by the path of the work tree, which is empty for the root.
    `worktrees` are the linked worktrees that were skipped. With `within`, only these paths and what is below them is
    walked.
    """

    def __init__(
        self, root: Path, within: AbstractSet[str] | None = None, selection: FileSelection = WITHOUT_PATTERNS
    ) -> None:
        self.root = root
        self._selection = selection
        self._within = within
        self._above = None if within is None else {parent for path in within for parent in parents(path)}
        self.refusals: dict[str, str] = {}
        self.worktrees: list[str] = []
        self._identity: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[FoundFile | Skipped]:
        """Walk; raise `SourceUnavailable` or an `OSError` when the root cannot be listed or git cannot read it now."""
        status = self.root.stat()
        self._identity = (status.st_dev, status.st_ino)
        os.scandir(self.root).close()
        decision = decide(self.root)
        self._note("", decision)
        device, rules = status.st_dev, decision.rules
        selection = self._selection.at(self.root)
        pending = [_Folder(self.root, "", device, device, rules, decision.path, decision.in_work_tree, selection)]
        while pending:
            subfolders: list[_Folder] = []
            for entry in self._list(pending.pop()):
                if isinstance(entry, _Folder):
                    subfolders.append(entry)
                else:
                    yield entry
            pending.extend(reversed(subfolders))
        self.check_root()

    def check_root(self) -> None:
        """Raise `SourceUnavailable` unless the root is still the folder that was walked; a mount may vanish."""
        try:
            status = self.root.stat()
        except OSError as error:
            raise SourceUnavailable(f"{self.root} cannot be read any more: {error.strerror}.") from error
        if self._identity != (status.st_dev, status.st_ino):
            raise SourceUnavailable(f"{self.root} was replaced by another folder during the run. Is it mounted?")

    def _note(self, path: str, decision: Decision) -> None:
        if decision.refused:
            self.refusals[path] = decision.refused

    def _list(self, folder: _Folder) -> Iterator[FoundFile | Skipped | _Folder]:
        try:
            with os.scandir(folder.location) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
            _check_device(folder)
        except OSError as error:
            if not folder.path:
                raise
            yield unread(folder.path, error, folder.location, folder.parent_device)
            return
        siblings = {entry.name for entry in entries}
        entered = self._enter(folder, siblings)
        if isinstance(entered, Skipped):
            yield entered
            return
        for entry in entries:
            if self._covers(f"{folder.path}{entry.name}"):
                yield _classify(entry, entered, siblings)

    def _covers(self, path: str) -> bool:
        """Whether a path is to be walked: one of those that are asked for, or above or below one."""
        if self._within is None or self._above is None:
            return True
        return path in self._above or is_within(path, self._within)

    def _enter(self, folder: _Folder, siblings: AbstractSet[str]) -> _Folder | Skipped:
        """Return the folder with the rules that apply inside it, or why it is skipped."""
        if not siblings:
            return folder
        try:
            selection = folder.selection.contents(folder.location, folder.path, siblings)
            if isinstance(selection, SkipReason):
                return Skipped(folder.path, selection)
            return self._with_rules(replace(folder, selection=selection), has_git_entry=".git" in siblings)
        except (OSError, SourceUnavailable) as error:
            if not folder.path:
                raise
            reason = getattr(error, "strerror", None) or str(error)
            return Skipped(folder.path, SkipReason.UNREADABLE, transient=True, error=reason)

    def _with_rules(self, folder: _Folder, *, has_git_entry: bool) -> _Folder | Skipped:
        rules, path = folder.rules, folder.rules_path
        if folder.path and has_git_entry and folder.in_work_tree and is_linked_worktree(folder.location):
            self.worktrees.append(folder.path)
            return Skipped(folder.path, SkipReason.WORKTREE)
        in_work_tree = folder.in_work_tree
        if folder.path and rules.is_repository(path, has_git_entry=has_git_entry):
            decision = decide_inside(folder.location, rules, path, has_git_entry=has_git_entry)
            self._note(folder.path, decision)
            rules, path, in_work_tree = decision.rules, decision.path, decision.in_work_tree
        rules = rules.enter(folder.location, path)
        return replace(folder, rules=rules, rules_path=path, in_work_tree=in_work_tree)


def walk(root: Path, within: AbstractSet[str] | None = None, selection: FileSelection = WITHOUT_PATTERNS) -> FolderWalk:
    """Return an iterable of every file below a folder that may be read, and of the reasons for all others."""
    return FolderWalk(root.resolve(), within, selection)


def unread(path: str, error: OSError, location: Path, parent_device: int | None) -> Skipped:
    """Return what an error means: what was listed counts as deleted only while the folder above can be read.

    The path is that of a file, or of a folder with a trailing slash; its parent was on this device.
    """
    above = _device_above(location) if isinstance(error, FileNotFoundError | NotADirectoryError) else None
    if above is not None and parent_device in (None, above):
        return Skipped(path, SkipReason.VANISHED)
    return Skipped(path, SkipReason.UNREADABLE, transient=True, error=error.strerror or str(error))


def _device_above(location: Path) -> int | None:
    """Return the device of the innermost folder above that exists, or None when that cannot be read."""
    for folder in location.parents:
        try:
            return folder.stat().st_dev
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return None


def _check_device(folder: _Folder) -> None:
    if folder.location.stat().st_dev != folder.device:
        raise OSError(errno.ESTALE, "mounted or unmounted meanwhile")


def _classify(entry: os.DirEntry[str], folder: _Folder, siblings: AbstractSet[str]) -> FoundFile | Skipped | _Folder:
    path = f"{folder.path}{entry.name}"
    if not is_one_line(entry.name):
        return Skipped(f"{folder.path}{ascii(entry.name)[1:-1]}", SkipReason.UNNAMEABLE)
    location = folder.location / entry.name
    rules_path = f"{folder.rules_path}/{entry.name}" if folder.rules_path else entry.name
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return unread(path, error, location, folder.device)
    is_folder = stat.S_ISDIR(status.st_mode)
    git_status = folder.rules.status(rules_path, is_folder=is_folder)
    tracked = git_status is GitStatus.TRACKED
    if is_folder:
        selection = folder.selection.folder(path, siblings, tracked=tracked)
        if not isinstance(selection, SkipReason) and git_status is GitStatus.IGNORED:
            selection = SkipReason.IGNORED
        if isinstance(selection, SkipReason):
            return Skipped(f"{path}/", selection)
        return replace(
            folder,
            location=location,
            path=f"{path}/",
            device=status.st_dev,
            parent_device=folder.device,
            rules_path=rules_path,
            selection=selection,
        )
    reason = _file_reason(entry.name, status, git_status)
    chosen = folder.selection.file(path, status.st_size, tracked=tracked) if reason is None else reason
    if not isinstance(chosen, SkipReason) and git_status is GitStatus.UNLISTED:
        chosen = SkipReason.NEW
    if isinstance(chosen, SkipReason):
        return Skipped(path, chosen, transient=chosen is SkipReason.NEW)
    # The digest of these depends on more than the stamp, so they are always read.
    is_special = chosen.included or status.st_size > chosen.max_bytes
    return FoundFile(path, location, folder.device, None if is_special else stamp_of(status), chosen)


def _file_reason(name: str, status: os.stat_result, git_status: GitStatus) -> SkipReason | None:
    """Return the reason to skip a file whatever is selected, or None. A link is always skipped."""
    # The .git of a worktree or submodule is a file.
    if git_status is GitStatus.IGNORED or name == ".git":
        return SkipReason.IGNORED
    if not stat.S_ISREG(status.st_mode):
        return SkipReason.LINK if stat.S_ISLNK(status.st_mode) else SkipReason.SPECIAL
    return SkipReason.EMPTY if status.st_size == 0 else None
