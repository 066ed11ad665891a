"""Finds the work tree that a folder belongs to, and whether git or the .gitignore files decide in it."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memos_mcp.ingest.git.command import GitRefused
from memos_mcp.ingest.git.gitignore import GitignoreRules, rules_above
from memos_mcp.ingest.git.listing import list_work_tree
from memos_mcp.ingest.git.status import IgnoreRules

_MAX_POINTER_BYTES: Final = 8_192
_POINTER: Final = b"gitdir: "


@dataclass(frozen=True, slots=True)
class Decision:
    """The rules for a folder, and the folder's path in them. `refused` is why git does not decide, or empty."""

    rules: IgnoreRules
    path: str
    refused: str = ""
    in_work_tree: bool = True


def decide(root: Path) -> Decision:
    """Return the rules that apply to a folder: those of its repository, if it is in one.

    Raise `OSError` or `SourceUnavailable` when they cannot be read.
    """
    top = next((folder for folder in (root, *root.parents) if _exists(folder / ".git")), None)
    if top is None:
        return Decision(*rules_above(root, root), in_work_tree=False)
    try:
        return Decision(list_work_tree(root, top), "")
    except GitRefused as refused:
        return Decision(*rules_above(root, top), refused=str(refused))


def decide_inside(folder: Path, outer: IgnoreRules, path: str, *, has_git_entry: bool) -> Decision:
    """Return the rules for a repository inside a walked folder, whose rules are the outer ones."""
    if not has_git_entry:  # a submodule that is not initialised
        return Decision(GitignoreRules(), "", refused="the submodule is not initialised")
    try:
        return Decision(list_work_tree(folder, folder), "")
    except GitRefused as refused:
        if isinstance(outer, GitignoreRules):
            return Decision(outer, path, refused=str(refused))
        return Decision(*rules_above(folder, folder), refused=str(refused))


def is_linked_worktree(folder: Path) -> bool:
    """Whether a folder is a further work tree of a repository (`git worktree add`)."""
    pointer = folder / ".git"
    status = pointer.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_POINTER_BYTES:
        return False
    content = pointer.read_bytes()
    if not content.startswith(_POINTER):
        return False
    target = folder / content.removeprefix(_POINTER).rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    # The repository may be out of reach, as in a container.
    return _exists(target / "commondir") or (target.parent.name == "worktrees" and not _exists(target))


def _exists(path: Path) -> bool:
    """Whether something has this path; raise another error than that it is missing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
