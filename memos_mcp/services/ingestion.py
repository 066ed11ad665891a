"""Ingests a folder: new and changed files are stored, deleted files are removed, unchanged files cost nothing."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final

from anyio.to_thread import run_sync

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_characters, check_file_name
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, Skipped, SourceFile, Sources, StoredFile, is_within

BATCH_FILES: Final = 64
BATCH_CHUNKS: Final = 500
BATCH_SECONDS: Final = 1.0
"""A batch is one transaction. The time bounds what a cancelled run still waits for, and what a killed one repeats."""

MANY_REMOVED: Final = 10
"""From so many on, the removal of more than half of a source's files must be confirmed: a mount may have vanished."""

UNSTORABLE: Final = "cannot be stored unchanged"


@dataclass(slots=True)
class IngestReport:
    """The result of a run: counts of files, and of the chunks of new and changed ones.

    `recorded` files were known before the run. Of them, `kept` stay because they, or a folder above, could not be read,
    and `unconfirmed` stay because they are more than half.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    recorded: int = field(default=0, compare=False)
    kept: int = 0
    unconfirmed: int = 0
    chunks: Replaced = field(default_factory=Replaced)
    omitted: list[Skipped] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    """Why git did not decide what is ignored, by the path of the work tree: empty for the folder itself."""
    worktrees: list[str] = field(default_factory=list)
    """The linked worktrees that were skipped."""
    encodings: Counter[str] = field(default_factory=Counter)
    """How many new and changed files were read in each encoding other than UTF-8."""

    @property
    def wrote(self) -> bool:
        """Whether the record changed."""
        return bool(self.new or self.changed or self.removed)

    @property
    def unread(self) -> list[Skipped]:
        """The files and folders that could not be read."""
        return [one for one in self.omitted if one.error]

    @property
    def complete(self) -> bool:
        """Whether everything was read and everything that is missing was removed."""
        return not self.unread and not self.unconfirmed

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

    def found_paths(self) -> Iterator[str]:
        yield from self.unchanged
        yield from (file.path for file in self.stored)


class Ingestion:
    """Compares files with the record, in batches of which only one is in memory. `now` is the clock."""

    def __init__(self, sources: Sources, now: Callable[[], datetime]) -> None:
        self._sources = sources
        self._now = now

    async def recorded(self, scope: Scope, source: str) -> Mapping[str, bytes]:
        """Return the digest of each file that is recorded, by path."""
        return await self._sources.digests(scope, source)

    async def ingest(
        self,
        scope: Scope,
        source: str,
        files: Iterator[SourceFile | Skipped],
        seen: Callable[[IngestReport], None],
        *,
        write: bool = True,
        confirmed: bool = False,
        within: AbstractSet[str] | None = None,
    ) -> IngestReport:
        """Make the record hold these files and no others of this source; call `seen` with the report after each batch.

        The run does not wait for the index. An interrupted run has stored whole batches, which the next one skips.
        Without `write`, nothing is stored and all chunks of new and changed files count as created. More than half of
        the source's files, and at least `MANY_REMOVED`, are only removed when that is `confirmed`. `within` are
        the paths that were walked, if not all: nothing else is removed.
        """
        check_file_name("the name of the source", source)
        if not write:
            return await self._compare(scope, source, files, seen, within, write=False, confirmed=confirmed)
        async with self._sources.lock(scope, source):
            return await self._compare(scope, source, files, seen, within, write=True, confirmed=confirmed)

    async def _compare(
        self,
        scope: Scope,
        source: str,
        files: Iterator[SourceFile | Skipped],
        seen: Callable[[IngestReport], None],
        within: AbstractSet[str] | None,
        *,
        write: bool,
        confirmed: bool,
    ) -> IngestReport:
        known = await self._sources.digests(scope, source)
        report, moved = IngestReport(recorded=len(known)), set[bytes]()
        missing = {path: digest for path, digest in known.items() if within is None or is_within(path, within)}
        batch = _Batch()
        while not batch.last:
            batch = await run_sync(_next_batch, files, known)
            for path in batch.found_paths():
                missing.pop(path, None)
            report.kept += _keep_unread(missing, batch.omitted)
            moved.update(file.digest for file in batch.stored if file.path not in known)
            if write and batch.stored:
                report.chunks += await self._sources.replace(scope, source, batch.stored, self._now())
            elif not write:
                report.chunks += Replaced(created=sum(len(file.new) for file in batch.stored))
            _count(report, batch, known)
            seen(report)
        vanished = sum(digest not in moved for digest in missing.values())
        if vanished >= MANY_REMOVED and 2 * vanished > len(known) and not confirmed:
            report.unconfirmed = len(missing)
            return report
        report.removed = len(missing)
        if write:
            report.chunks += await self._remove(scope, source, list(missing))
        return report

    async def _remove(self, scope: Scope, source: str, paths: list[str]) -> Replaced:
        removed = Replaced()
        for start in range(0, len(paths), BATCH_FILES):
            removed += await self._sources.remove(scope, source, paths[start : start + BATCH_FILES])
        return removed


def _keep_unread(missing: dict[str, bytes], omitted: list[Skipped]) -> int:
    """Take out of the missing files what may still exist; return how many could not be read."""
    count = 0
    for one in omitted:
        if one.transient:
            below = one.path.endswith("/")
            paths = [path for path in missing if path.startswith(one.path)] if below else [one.path]
            kept = sum(missing.pop(path, None) is not None for path in paths)
            count += kept if one.error else 0
    return count


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
    encodings = (file.new[0].metadata.get("encoding") for file in batch.stored if file.new)
    report.encodings.update(str(encoding) for encoding in encodings if encoding is not None)
