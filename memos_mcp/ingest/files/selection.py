"""Selects what is read of a folder: lists of names, the size limit, and the patterns that people give, which win.

The lists of fetched and built folders count for nothing that git tracks: what is tracked is the project's own.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from memos_mcp.ingest.files import file_names
from memos_mcp.ingest.files.path_patterns import NO_PATTERNS, PatternLists
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.git.gitignore import read_lines

MEMOSIGNORE: Final = ".memosignore"
MAX_BYTES: Final = 1024 * 1024
"""The usual limit for one file. Files written by hand are smaller; larger ones are data."""

MAX_PACKED_BYTES: Final = 32 * MAX_BYTES
"""The usual limit for a file of which only a part is text: the others are pictures, fonts and outputs."""

MAX_INCLUDED_BYTES: Final = 64 * MAX_BYTES
"""The limit for a file that a pattern includes, and the highest limit that can be set: a file is read as a whole."""


@dataclass(frozen=True, slots=True)
class FileRules:
    """What counts for one file. `included`: a pattern asks for it, so it is read whole and whatever it seems to be."""

    max_bytes: int = MAX_BYTES
    included: bool = False


UNNAMED: Final = FileRules()
"""The rules for a file that no pattern names."""


@dataclass(frozen=True, slots=True)
class FileSelection:
    """What is selected in one folder. Paths are relative to the folder that is ingested, with slashes."""

    options: PatternLists = NO_PATTERNS
    ignore_files: PatternLists = NO_PATTERNS
    max_bytes: int = MAX_BYTES
    base: str = ""
    """The path of the ingested folder in its repository (`` or `a/b/`): `.memosignore` files above it count."""
    closed: SkipReason | None = None
    """Why everything here is skipped but what a pattern includes or, in a fetched or built folder, what git tracks."""
    may_be_cache: bool = False
    """Whether a file that marks caches closes this folder; otherwise a pattern has included it."""
    must_enter: bool = True
    """Whether something in this folder is wanted even if it is closed."""

    @classmethod
    def of(cls, patterns: Sequence[str], max_bytes: int = MAX_BYTES) -> "FileSelection":
        """Return the selection of a run: lines in the syntax of `.gitignore`, relative to the ingested folder."""
        return cls(NO_PATTERNS.add(patterns, ""), max_bytes=max_bytes)

    def at(self, root: Path) -> "FileSelection":
        """Return the selection for a root, with the `.memosignore` files of its repository above it.

        They do not count when they exclude the root itself, which was requested by name. Raise `OSError` when one
        cannot be read.
        """
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
        base, patterns = "", NO_PATTERNS
        for folder, name in zip(reversed(root.parents), root.parts[1:], strict=True):
            if folder.is_relative_to(top):
                patterns = patterns.add(read_lines(folder / MEMOSIGNORE), base)
                base = f"{base}{name}/"
                if patterns.verdict(base.removesuffix("/"), is_folder=True):
                    patterns = NO_PATTERNS
        return replace(self, ignore_files=patterns, base=base)

    def folder(self, path: str, siblings: AbstractSet[str], *, tracked: bool) -> "FileSelection | SkipReason":
        """Return the selection for a subfolder, or why it is skipped; then call `contents`.

        siblings: the names beside it. tracked: whether git tracks a file in it.
        """
        name = path.rpartition("/")[2]
        if file_names.is_repository(name):
            return SkipReason.FOREIGN
        by_pattern = self._by_pattern(path, is_folder=True)
        if by_pattern is True:
            return replace(self, closed=None, may_be_cache=False)
        is_foreign = self.closed is None and file_names.is_foreign(name, siblings)
        reason = by_pattern or self.closed or (SkipReason.FOREIGN if is_foreign else None)
        must_enter = self._opens(path) or (tracked and reason in {None, SkipReason.FOREIGN})
        if reason is not None and not must_enter:
            return reason
        return replace(self, closed=reason, may_be_cache=True, must_enter=must_enter)

    def contents(self, location: Path, path: str, names: AbstractSet[str]) -> "FileSelection | SkipReason":
        """Return the selection for what is in this folder, with its `.memosignore`, or why all of it is skipped.

        path: empty for the root, otherwise with a trailing slash. Raise `OSError` when the file cannot be read.
        """
        closed = self.closed
        if closed is None and self.may_be_cache and file_names.marks_foreign(names):
            if not self.must_enter:
                return SkipReason.FOREIGN
            closed = SkipReason.FOREIGN
        lines = read_lines(location / MEMOSIGNORE) if MEMOSIGNORE in names else ()
        return replace(self, closed=closed, ignore_files=self.ignore_files.add(lines, f"{self.base}{path}"))

    def file(self, path: str, size: int, *, tracked: bool) -> FileRules | SkipReason:
        """Return the rules for a file of this folder, or why it is skipped. No pattern includes a possible secret."""
        name = path.rpartition("/")[2]
        by_pattern = self._by_pattern(path, is_folder=False)
        if isinstance(by_pattern, SkipReason):
            return by_pattern
        if file_names.may_be_secret(name):
            return SkipReason.SECRET
        included = by_pattern
        if not included and self.closed is not None and not (tracked and self.closed is SkipReason.FOREIGN):
            return self.closed
        if not included and file_names.is_generated(name):
            return SkipReason.GENERATED
        usual = max(self.max_bytes, MAX_PACKED_BYTES) if file_names.is_packed(name) else self.max_bytes
        max_bytes = MAX_INCLUDED_BYTES if included else usual
        is_too_large = size > max_bytes and (included or file_names.data_format(name) is None)
        return SkipReason.TOO_LARGE if is_too_large else FileRules(max_bytes, included)

    def _by_pattern(self, path: str, *, is_folder: bool) -> SkipReason | bool:
        """Return why a pattern excludes a path, or whether one includes it: options first, then files."""
        lists = (
            (self.options, path, SkipReason.EXCLUDED),
            (self.ignore_files, self.base + path, SkipReason.MEMOSIGNORE),
        )
        for patterns, full_path, reason in lists:
            verdict = patterns.verdict(full_path, is_folder=is_folder)
            if verdict is not None:
                return reason if verdict else True
        return False

    def _opens(self, folder: str) -> bool:
        return self.options.opens(folder) or self.ignore_files.opens(self.base + folder)


WITHOUT_PATTERNS: Final = FileSelection()
