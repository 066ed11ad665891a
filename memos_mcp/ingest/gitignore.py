"""What git would ignore: the .gitignore files from a repository's top down to a folder."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_MAX_BYTES: Final = 1024 * 1024
"""Of a .gitignore; git reads larger ones, people do not write them."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """The patterns of one file, last first, and the folder that they speak of as a prefix of paths (`` or `a/b/`)."""

    prefix: str
    patterns: tuple[GitIgnoreSpecPattern, ...]

    def verdict(self, entry: str) -> bool | None:
        """Return what the last pattern that matches says: True to ignore; None when none does."""
        path = entry.removeprefix(self.prefix)
        return next((pattern.include for pattern in self.patterns if _matches(pattern, path)), None)


@dataclass(frozen=True, slots=True)
class Ignoring:
    """All rules that hold in a folder, outermost first; paths are relative to the repository's top."""

    rules: tuple[_Rules, ...] = ()

    def within(self, folder: Path, path: str) -> "Ignoring":
        """Return the rules that hold inside a folder at this path, `` being the top."""
        return self.also(folder / ".gitignore", f"{path}/" if path else "")

    def also(self, file: Path, prefix: str) -> "Ignoring":
        patterns = _read(file)
        return Ignoring((*self.rules, _Rules(prefix, patterns))) if patterns else self

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether an entry is ignored, given that no folder above it is: the innermost file of rules decides."""
        entry = f"{path}/" if is_folder else path
        verdicts = (rules.verdict(entry) for rules in reversed(self.rules))
        return next((verdict for verdict in verdicts if verdict is not None), False)


def above(root: Path) -> tuple[Ignoring, str]:
    """Return the rules that reach a folder from the repository around it, and the folder's path in there.

    A folder that the repository itself ignores was asked for by name: nothing from above holds in it.
    """
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    path = "" if root == top else root.relative_to(top).as_posix()
    ignoring = Ignoring().also(top / ".git" / "info" / "exclude", "")
    for folder in reversed([folder for folder in root.parents if folder.is_relative_to(top)]):
        inner = "" if folder == top else folder.relative_to(top).as_posix()
        ignoring = ignoring.within(folder, inner)
    parts = path.split("/") if path else []
    ancestry = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if any(ignoring.ignores(folder, is_folder=True) for folder in ancestry):
        return Ignoring(), path
    return ignoring, path


def _matches(pattern: GitIgnoreSpecPattern, path: str) -> bool:
    """Whether a pattern speaks of this very entry.

    To pathspec it also matches everything below a folder that it names. Here each folder has been judged before what
    is in it, as git does, and `!*/` would otherwise take back what `*` says of files.
    """
    found = pattern.match_file(path)
    if found is None or pattern.regex is None:
        return False
    # The only group in a pattern's expression is the slash after the folder that it matched.
    on_the_way = found.match.lastgroup is not None and found.match.end() < len(path)
    return not on_the_way or pattern.regex.search(path, len(path) - 1) is not None


def _read(file: Path) -> tuple[GitIgnoreSpecPattern, ...]:
    """Read a file of patterns, last first; none from a link (git follows none there) or what cannot be read."""
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return ()
        lines = os.fsdecode(file.read_bytes()).removeprefix("\ufeff").split("\n")
    except OSError:
        return ()
    return tuple(_patterns(lines))[::-1]


def _patterns(lines: list[str]) -> Iterator[GitIgnoreSpecPattern]:
    for line in lines:
        bare = line.removesuffix("\r").rstrip(" ")
        # To git `a/**` is what is inside `a`; pathspec takes it for `a` itself too, and then nothing in it can be kept.
        text = f"{bare}/*" if bare.endswith("/**") else line.removesuffix("\r")
        try:
            pattern = GitIgnoreSpecPattern(text)
        except ValueError:
            continue  # git passes over what is no pattern
        if pattern.include is not None:
            yield pattern
