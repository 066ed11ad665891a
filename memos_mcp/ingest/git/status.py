"""The status of a file or folder in a work tree, and the port of what decides it: git, or the .gitignore files."""

from enum import Enum, auto
from pathlib import Path
from typing import Protocol


class GitStatus(Enum):
    """What git does with a path.

    A folder is tracked when it holds a tracked file, and untracked when it holds other files that are not ignored.
    """

    TRACKED = auto()
    UNTRACKED = auto()
    IGNORED = auto()
    UNLISTED = auto()
    """Not known: git could not read it, or it was made after git listed its folder."""


class IgnoreRules(Protocol):
    """Decides which files of a work tree are ignored. Paths are relative to a folder that the rules know."""

    def status(self, path: str, *, is_folder: bool) -> GitStatus:
        """Return the status of an entry, provided that no parent folder is ignored."""

    def enter(self, folder: Path, path: str) -> "IgnoreRules":
        """Return the rules that apply inside a folder; raise `OSError` when they cannot be read."""

    def is_repository(self, path: str, *, has_git_entry: bool) -> bool:
        """Whether a folder is a repository of its own, such as a submodule."""
