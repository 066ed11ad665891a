"""Ingests a folder: new and changed files are stored, deleted files are removed, unchanged files cost nothing."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final

from anyio.to_thread import run_sync

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_characters, check_name
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, Skipped, SourceFile, Sources, StoredFile

BATCH_FILES: Final = 64
BATCH_CHUNKS: Final = 500
BATCH_SECONDS: Final = 1.0
"""A batch is one transaction. The time bounds what a cancelled run still waits for, and what a killed one repeats."""

UNSTORABLE: Final = "cannot be stored unchanged"


@dataclass(slots=True)
class IngestReport:
    """The result of a run: counts of files, and of the chunks of new and changed ones."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: Replaced = field(default_factory=Replaced)
    omitted: list[Skipped] = field(default_factory=list)

    @property
    def wrote(self) -> bool:
        """Whether the record changed."""
        return bool(self.new or self.changed or self.removed)

    def reasons(self) -> dict[str, int]:
        """Return how many files were left out for each reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.omitted).most_common())


@dataclass(slots=True)
class _Batch:
    """Files that are processed in one transaction; `last` when no file follows."""

    stored: list[StoredFile] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    omitted: list[Skipped] = field(default_factory=list)
    last: bool = False

    @property
    def full(self) -> bool:
        return len(self.stored) >= BATCH_FILES or sum(len(file.new) for file in self.stored) >= BATCH_CHUNKS

    def kept_paths(self) -> Iterator[str]:
        """Yield the paths whose record is kept."""
        yield from self.unchanged
        yield from (file.path for file in self.stored)
        yield from (one.path for one in self.omitted if one.transient)


class Ingestion:
    """Compares files with the record, in batches of which only one is in memory. `now` is the clock."""

    def __init__(self, sources: Sources, now: Callable[[], datetime]) -> None:
        self._sources = sources
        self._now = now

    async def ingest(
        self,
        scope: Scope,
        source: str,
        files: Iterator[SourceFile | Skipped],
        seen: Callable[[IngestReport], None],
        *,
        write: bool = True,
    ) -> IngestReport:
        """Make the record hold these files and no others of this source; call `seen` with the report after each batch.

        The run does not wait for the index. An interrupted run has stored whole batches, which the next one skips.
        Without `write`, nothing is stored and all chunks of new and changed files count as created.
        """
        check_name("the name of the source", source)
        if not write:
            return await self._compare(scope, source, files, seen, write=False)
        async with self._sources.lock(scope, source):
            return await self._compare(scope, source, files, seen, write=True)

    async def _compare(
        self,
        scope: Scope,
        source: str,
        files: Iterator[SourceFile | Skipped],
        seen: Callable[[IngestReport], None],
        *,
        write: bool,
    ) -> IngestReport:
        report, known = IngestReport(), await self._sources.digests(scope, source)
        removed = dict.fromkeys(known)
        batch = _Batch()
        while not batch.last:
            batch = await run_sync(_next_batch, files, known)
            for path in batch.kept_paths():
                removed.pop(path, None)
            if write and batch.stored:
                report.chunks += await self._sources.replace(scope, source, batch.stored, self._now())
            elif not write:
                report.chunks += Replaced(created=sum(len(file.new) for file in batch.stored))
            _count(report, batch, known)
            seen(report)
        paths = list(removed)
        report.removed = len(paths)
        for start in range(0, len(paths) if write else 0, BATCH_FILES):
            report.chunks += await self._sources.remove(scope, source, paths[start : start + BATCH_FILES])
        return report


def _next_batch(files: Iterator[SourceFile | Skipped], known: Mapping[str, bytes]) -> _Batch:
    """Read files until a transaction is full or `BATCH_SECONDS` have passed."""
    batch, deadline = _Batch(), monotonic() + BATCH_SECONDS
    for file in files:
        found = file if isinstance(file, Skipped) else _read(file, known.get(file.path))
        if isinstance(found, Skipped):
            batch.omitted.append(found)
        elif isinstance(found, StoredFile):
            batch.stored.append(found)
        elif not isinstance(file, Skipped):
            batch.unchanged.append(file.path)
        if batch.full or monotonic() > deadline:
            return batch
    batch.last = True
    return batch


def _read(file: SourceFile, known: bytes | None) -> StoredFile | Skipped | None:
    try:
        check_characters("the path", file.path)
        found = file.read(known)
        for new in found.new if isinstance(found, StoredFile) else ():
            new.check()
    except Invalid:
        return Skipped(file.path, UNSTORABLE)
    return found


def _count(report: IngestReport, batch: _Batch, known: Mapping[str, bytes]) -> None:
    changed = sum(file.path in known for file in batch.stored)
    report.changed += changed
    report.new += len(batch.stored) - changed
    report.unchanged += len(batch.unchanged)
    report.omitted += batch.omitted
