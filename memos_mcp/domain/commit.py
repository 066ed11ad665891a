"""Commits: the changes of a source, each remembered with its reason."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import NewMemory

HASH_CHARS: Final = 12

MAX_SHOWN: Final = 20
"""Files in the content: each costs some fifteen tokens, and the reason of a change is in its message."""

MAX_PATHS_CHARS: Final = 6_000
"""For each of the two lists in the metadata, of paths and of folders, as JSON."""

_ADDRESS_IN_BRACKETS: Final = re.compile(r"[^\S\n]*<[^<>\n]*@[^<>\n]*>")
# The picture `logo@2x.png` and the package `name@1.2.3` are no addresses.
_ADDRESS: Final = re.compile(
    r"[^\s<>()\[\]{},;:\"'`|=/\\@]{1,128}@(?![0-9]x\.)(?:[\w-]{1,63}\.){1,8}(?:[^\W\d_]{2,63}|xn--[\w-]{1,59})(?!\w)"
)
_DEFAULT_MERGE: Final = re.compile(
    r"Merge (?:(?:remote-tracking )?branch(?:es)?|remote branch|tags?|commits?|pull request|HEAD) .*|Merge '.*"
    r"|Merged in .* \(pull request #\d+\)"
)
_NO_REASON: Final = re.compile(r"\s*|#.*|[A-Za-z][A-Za-z-]*: .*|Conflicts:|\t.*|See merge request .*")
"""Lines of a merge's message that git and its hosts write."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that a commit changed. The counts are None for a binary; `former` is the path before a renaming."""

    path: str
    added: int | None = None
    removed: int | None = None
    former: str | None = None

    @property
    def lines(self) -> int:
        return (self.added or 0) + (self.removed or 0)

    def __str__(self) -> str:
        path = self.path if self.former is None else f"{self.former} -> {self.path}"
        return path if self.added is None else f"{path} +{self.added} -{self.removed}"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit. `files` is None when they are not known, as at the boundary of a shallow clone.

    `encoding`: the assumed encoding of a message that is not in the one it should be in.
    """

    hash: str
    parents: int
    author: str
    timestamp: int
    message: str
    files: Sequence[ChangedFile] | None = None
    encoding: str | None = None

    @property
    def has_reason(self) -> bool:
        """Whether somebody wrote the message: most merges have one that git wrote."""
        if self.parents <= 1:
            return bool(self.message.strip())
        subject, *body = self.message.strip().split("\n")
        written = _DEFAULT_MERGE.fullmatch(subject) is None and bool(subject)
        return written or any(_NO_REASON.fullmatch(line) is None for line in body)

    def new_memory(self, source: str) -> NewMemory:
        """Return this commit as a memory of a source, without e-mail addresses; raise `Invalid` for an impossible date.

        The content holds the hash, because two commits may have the same message and files.
        """
        author = _name(self.author)
        by = f"commit {self.hash[:HASH_CHARS]} by {author}" if author else f"commit {self.hash[:HASH_CHARS]}"
        content = f"{without_addresses(self.message).strip()}\n\n{by}\n" + "\n".join(self._shown_files())
        try:
            occurred_at = datetime.fromtimestamp(self.timestamp, UTC)
        except (OverflowError, ValueError, OSError) as error:
            raise Invalid("The date of the commit is out of range.") from error
        return NewMemory(
            content.rstrip(), "episodic", ("commit",), self._metadata(source, author), occurred_at=occurred_at
        )

    def _shown_files(self) -> Iterator[str]:
        files = self.files or ()
        most = sorted(files, key=lambda file: -file.lines)[:MAX_SHOWN]
        yield from (str(file) for file in files if file in most)
        if len(files) > len(most):
            yield f"and {len(files) - len(most)} more files"

    def _metadata(self, source: str, author: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {"source": source, "commit": self.hash, "author": author}
        if self.files is not None:
            most = sorted(self.files, key=lambda file: -file.lines)
            paths = [path for file in most for path in (file.path, file.former) if path is not None]
            folders = (str(folder) for path in paths for folder in PurePosixPath(path).parents[:-1])
            metadata |= {"files": len(self.files), "paths": _fitting(paths), "folders": _fitting(folders)}
        if self.encoding is not None:
            metadata["encoding"] = self.encoding
        return metadata


def without_addresses(text: str) -> str:
    """Return a text without e-mail addresses: those behind a name are removed, and a mark stands for the others."""
    return _ADDRESS.sub("[e-mail]", _ADDRESS_IN_BRACKETS.sub("", text))


def _name(author: str) -> str:
    name = _ADDRESS_IN_BRACKETS.sub("", author).strip()
    return _ADDRESS.sub(lambda match: match.group().partition("@")[0], name)


def _fitting(texts: Iterable[str]) -> list[str]:
    """Return the distinct texts, sorted, or the first of them that fit."""
    fitting: list[str] = []
    available = MAX_PATHS_CHARS
    for text in dict.fromkeys(texts):
        available -= len(json.dumps(text, ensure_ascii=False)) + 1
        if available < 0:
            break
        fitting.append(text)
    return sorted(fitting)
