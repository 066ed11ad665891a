"""Patterns that people write to include or exclude files: options of a run and `.memosignore` files.

The syntax is that of `.gitignore`, where `!` includes. Unlike git, a pattern with a slash in it reaches into a folder
that is skipped: `!vendor/acme/` opens `vendor` for `vendor/acme` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memos_mcp.ingest.git.gitignore import GitignoreRules

_NO_RULES: Final = GitignoreRules()


@dataclass(frozen=True, slots=True)
class PatternLists:
    """Lists of patterns, of which a later one takes precedence, and in each list a later pattern."""

    matching: GitignoreRules = _NO_RULES
    opening: GitignoreRules = _NO_RULES

    def add(self, lines: Sequence[str], prefix: str) -> "PatternLists":
        """Return these lists and one more, for the paths below a prefix (`` or `a/b/`)."""
        if not lines:
            return self
        opened = [folder for line in lines for folder in _folders_above(line)]
        return PatternLists(self.matching.add_lines(lines, prefix), self.opening.add_lines(opened, prefix))

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Return True for an excluded path, False for an included one, None when no pattern matches."""
        return self.matching.verdict(path, is_folder=is_folder)

    def opens(self, folder: str) -> bool:
        """Whether a pattern names something in this folder to include."""
        return self.opening.ignores(folder, is_folder=True)


NO_PATTERNS: Final = PatternLists()


def is_pattern(text: str) -> bool:
    """Whether a text is one pattern. At its start `!` and `#` have another meaning, so they must be escaped."""
    if text.startswith(("!", "#")) or len(text.splitlines()) != 1:
        return False
    return bool(_NO_RULES.add_lines([text], "").files)


def _folders_above(line: str) -> Iterator[str]:
    """Yield patterns for the folders that may hold what an including pattern names, from its first folder on."""
    if not line.startswith("!"):
        return
    above, separator, _ = line.rstrip().removesuffix("/").rpartition("/")
    names = above.removeprefix("!").removeprefix("/").split("/") if separator else []
    for count, name in enumerate(names, start=1):
        folder = "/".join(names[:count])
        if name == "**":
            if count > 1:
                yield f"/{folder}/*/"
            return
        yield f"/{folder}/"
