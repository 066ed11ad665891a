"""Sources: ingested folders, and the record of their files."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import astuple, dataclass
from datetime import datetime
from operator import add
from typing import Final, Protocol

from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope

COMMITS: Final = ".git/commits/"
"""Commits are recorded as files of this folder, of which nothing is ever ingested."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file to be recorded: its path within the source, a digest of its bytes, and all of its chunks."""

    path: str
    digest: bytes
    new: Sequence[NewMemory]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that is not ingested. Those with the same reason are counted together.

    `transient`: not known now, so the record of the file, or of all files below the folder, stays until the next run.
    The path of a folder ends with a slash. `error` is why it could not be read, for people.
    """

    path: str
    reason: str
    transient: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Counts of the chunks of some files. `moved`: the same content at another position of its file."""

    created: int = 0
    kept: int = 0
    moved: int = 0
    removed: int = 0

    def __add__(self, other: "Replaced") -> "Replaced":
        return Replaced(*map(add, astuple(self), astuple(other)))


def parents(path: str) -> Iterator[str]:
    """Yield the folders above a path of a source, innermost first, without the root and without trailing slashes."""
    while path := path.rpartition("/")[0]:
        yield path


def is_within(path: str, paths: AbstractSet[str]) -> bool:
    """Whether a path is one of these, or below one."""
    return path in paths or any(parent in paths for parent in parents(path))


class SourceFile(Protocol):
    """A file that was found. Reading and cutting it takes time: call `read` in a worker thread."""

    @property
    def path(self) -> str: ...

    def read(self, known_digest: bytes | None) -> StoredFile | Skipped | None:
        """Return the file with its chunks, why it is left out, or None when its digest is still the known one."""


class Sources(Protocol):
    """The record of files and of the memories of their chunks, by scope and name of the source.

    A chunk is a memory like any other: the same content is stored once in a scope. It outlives its file when another
    file has the same chunk, or when it was also stored by hand.
    """

    def lock(self, scope: Scope, source: str) -> AbstractAsyncContextManager[None]:
        """Keep other runs away from this source; raise `Unavailable` when one is under way."""

    async def digests(self, scope: Scope, source: str) -> Mapping[str, bytes]:
        """Return the digest of each file, by path."""

    async def replace(self, scope: Scope, source: str, files: Sequence[StoredFile], now: datetime) -> Replaced:
        """Make these files' chunks the recorded ones, in one transaction; chunks without `session_id` only.

        Content that exists already is unchanged, and only its metadata is updated.
        """

    async def remove(self, scope: Scope, source: str, paths: Sequence[str]) -> Replaced:
        """Remove files and the memories that only they have, in one transaction."""
