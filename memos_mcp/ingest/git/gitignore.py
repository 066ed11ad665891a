"""The rules of git for ignored files, read without git: the .gitignore files from a repository's root to a folder."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from memos_mcp.ingest.git.status import GitStatus

_MAX_BYTES: Final = 1024 * 1024
"""The limit for a .gitignore. Git reads larger ones, but people do not write them."""


@dataclass(frozen=True, slots=True)
class _RuleFile:
    """The patterns of one file, last first, and its folder as a prefix of paths (`` or `a/b/`)."""

    prefix: str
    patterns: tuple[GitIgnoreSpecPattern, ...]

    def verdict(self, entry: str) -> bool | None:
        """Return the verdict of the last matching pattern (True: ignored), or None when no pattern matches."""
        path = entry.removeprefix(self.prefix)
        return next((pattern.include for pattern in self.patterns if _matches(pattern, path)), None)


@dataclass(frozen=True, slots=True)
class GitignoreRules:
    """All rules that apply in a folder, outermost first; paths are relative to the repository's root."""

    files: tuple[_RuleFile, ...] = ()

    def enter(self, folder: Path, path: str) -> "GitignoreRules":
        """Return the rules that apply inside a folder; `path` is empty for the repository's root."""
        return self.add_file(folder / ".gitignore", f"{path}/" if path else "")

    def add_file(self, file: Path, prefix: str) -> "GitignoreRules":
        return self.add_lines(read_lines(file), prefix)

    def add_lines(self, lines: Sequence[str], prefix: str) -> "GitignoreRules":
        """Return these rules with those of a file that has these lines."""
        patterns = tuple(_patterns(lines))[::-1]
        return GitignoreRules((*self.files, _RuleFile(prefix, patterns))) if patterns else self

    def status(self, path: str, *, is_folder: bool) -> GitStatus:
        """Return the status of an entry; what is tracked is not known without git."""
        return GitStatus.IGNORED if self.ignores(path, is_folder=is_folder) else GitStatus.UNTRACKED

    def is_repository(self, path: str, *, has_git_entry: bool) -> bool:
        return has_git_entry and path != ""

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether an entry is ignored, provided that no parent folder is."""
        return self.verdict(path, is_folder=is_folder) or False

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Return True for an ignored entry, False for one that a pattern keeps: the innermost match decides."""
        entry = f"{path}/" if is_folder else path
        verdicts = (file.verdict(entry) for file in reversed(self.files))
        return next((verdict for verdict in verdicts if verdict is not None), None)


def rules_above(root: Path, top: Path) -> tuple[GitignoreRules, str]:
    """Return the rules that apply to a folder from its repository at `top`, and the folder's path in the repository.

    An ignored folder was requested by name, so none of the repository's rules apply in it.
    """
    path = "" if root == top else root.relative_to(top).as_posix()
    rules = GitignoreRules().add_file(top / ".git" / "info" / "exclude", "")
    for folder in reversed([folder for folder in root.parents if folder.is_relative_to(top)]):
        inner = "" if folder == top else folder.relative_to(top).as_posix()
        rules = rules.enter(folder, inner)
    parts = path.split("/") if path else []
    ancestry = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if any(rules.ignores(folder, is_folder=True) for folder in ancestry):
        return GitignoreRules(), path
    return rules, path


def _matches(pattern: GitIgnoreSpecPattern, path: str) -> bool:
    """Whether a pattern matches this entry itself.

    In pathspec a pattern that matches a folder also matches everything below it. Here, as in git, each folder is
    checked before its contents, and `!*/` would otherwise revert the effect of `*` on files.
    """
    found = pattern.match_file(path)
    if found is None or pattern.regex is None:
        return False
    # The only group of a pattern's regular expression is the slash after the matched folder.
    only_parent = found.match.lastgroup is not None and found.match.end() < len(path)
    return not only_parent or pattern.regex.search(path, len(path) - 1) is not None


def read_lines(file: Path) -> Sequence[str]:
    """Return the lines of a file of patterns: none for a missing file, or a link, which git does not follow.

    Raise `OSError` when the file cannot be read: what it ignores must not be ingested.
    """
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return ()
        return os.fsdecode(file.read_bytes()).removeprefix("\ufeff").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _patterns(lines: Sequence[str]) -> Iterator[GitIgnoreSpecPattern]:
    for line in lines:
        bare = line.removesuffix("\r").rstrip(" ")
        # In git `a/**` matches the contents of `a`; in pathspec also `a` itself, and then nothing in it could be kept.
        text = f"{bare}/*" if bare.endswith("/**") else line.removesuffix("\r")
        try:
            pattern = GitIgnoreSpecPattern(text)
        except ValueError:
            continue  # git skips invalid patterns
        if pattern.include is not None:
            yield pattern
