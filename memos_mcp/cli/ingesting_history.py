"""The part of `ingest --history` that ingests commits, with the files of the folder or after a commit."""

import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from anyio import Event
from anyio.to_thread import run_sync
from tqdm import tqdm

from memos_mcp.app import App
from memos_mcp.cli.argument_types import time
from memos_mcp.cli.ingest_report import ReportOutput, advance
from memos_mcp.domain.commit import Commit
from memos_mcp.domain.errors import Invalid, SourceUnavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import COMMITS, Skipped, SourceFile, StoredFile
from memos_mcp.ingest.files.secret_scan import holds_secret
from memos_mcp.ingest.files.watch import git_changes
from memos_mcp.ingest.git.command import GitRefused
from memos_mcp.ingest.git.history import GitHistory, open_history
from memos_mcp.services.ingestion import IngestReport

COMMIT_VERSION: Final = b"1"
"""A part of each digest: with another version, all commits are read again."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

NO_REASON: Final = "without a message of its own"
SECRET: Final = "may hold a secret"  # noqa: S105 - a reason, not a password
UNREADABLE: Final = "cannot be read by git"


class _FoundCommits(NamedTuple):
    """What the repository has: paths of recorded commits, and the hashes of those to be read."""

    recorded: Sequence[str]
    new: Sequence[str]
    boundary: frozenset[str]


@dataclass(slots=True)
class HistoryRun:
    """The history of a folder, the name of its source, since when new commits are ingested, and what is confirmed."""

    history: GitHistory
    scope: Scope
    source: str
    since: datetime | str | None
    output: ReportOutput
    stored: Event
    confirmed: bool
    _done: str | None = field(default=None, init=False)
    """The commit that was checked out in the last run."""

    async def execute(self, app: App, *, write: bool = True, quiet: bool = False) -> IngestReport:
        """Update the stored commits to match the repository; with `quiet`, print nothing unless something changed."""
        try:
            head = await run_sync(self.history.head)
            if write and head is not None and head == self._done:
                return IngestReport()
            found = await run_sync(self._find, await app.history_ingestion.recorded(self.scope, self.source))
            report = await self._ingest(app, found, write=write, quiet=quiet)
        except GitRefused as refused:
            raise SourceUnavailable(f"The history of {self.source} cannot be read: {refused}.") from refused
        self._done = head if write and not any(one.transient for one in report.omitted) else None
        if report.wrote or not quiet or not report.complete:
            self.output.print(self.source, "commits", report, written=write)
        return report

    async def follow(self, changed: Callable[[], None]) -> None:
        """Call this after each commit and checkout."""
        try:
            async for _ in git_changes(self.history.git_folder):
                if await run_sync(self._has_moved):
                    changed()
        except OSError as error:
            reason = error.strerror or error
            print(f"memos-as: {self.history.git_folder} cannot be watched: {reason}.", file=sys.stderr)

    def _has_moved(self) -> bool:
        try:
            return self.history.head() != self._done
        except (GitRefused, SourceUnavailable):  # the run that follows reports it
            return True

    async def _ingest(self, app: App, found: _FoundCommits, *, write: bool, quiet: bool) -> IngestReport:
        count = len(found.recorded) + len(found.new)
        with tqdm(total=count, unit="commit", desc="read", disable=quiet, mininterval=0.5) as bar:
            return await app.history_ingestion.ingest(
                self.scope,
                self.source,
                self._files(found),
                partial(advance, bar, self.stored),
                write=write,
                confirmed=self.confirmed,
            )

    def _find(self, recorded: Mapping[str, bytes]) -> _FoundCommits:
        boundary = self.history.boundary()
        listed = self.history.commits()
        wanted = set(listed if self.since is None else self.history.commits(self.since))
        current = {
            path.removeprefix(COMMITS)
            for path, digest in recorded.items()
            if digest.startswith(_prefix(path.removeprefix(COMMITS) in boundary))
        }
        new = [one for one in listed if one not in current and (one in wanted or COMMITS + one in recorded)]
        elsewhere = {path.removeprefix(COMMITS) for path in recorded} - set(listed)
        kept = (current & set(listed)) | (elsewhere & self.history.reachable() if elsewhere else set())
        return _FoundCommits(sorted(COMMITS + one for one in kept), new, boundary)

    def _files(self, found: _FoundCommits) -> Iterator[SourceFile | Skipped]:
        yield from map(_RecordedCommit, found.recorded)
        for commit in self.history.read(found.new, found.boundary):
            if isinstance(commit, Commit):
                yield _NewCommit(commit, self.source, _prefix(commit.hash in found.boundary))
            else:
                yield Skipped(COMMITS + commit[0], UNREADABLE, transient=True, error=commit[1])


def history_run(
    root: Path, scope: Scope, source: str, since: str | None, output: ReportOutput, stored: Event, *, confirmed: bool
) -> HistoryRun:
    """Return the run for a folder; raise `Invalid` when it has no history, or `since` is neither time nor commit."""
    history = open_history(root)
    oldest = None if since is None else _since(history, since)
    return HistoryRun(history, scope, source, oldest, output, stored, confirmed)


def _since(history: GitHistory, text: str) -> datetime | str:
    if _DATE.match(text) is None:
        return history.resolve(text)
    try:
        return time("since")(text)
    except ArgumentTypeError as error:
        raise Invalid(f"--since: {error}.") from error


@dataclass(frozen=True, slots=True)
class _RecordedCommit:
    """The `SourceFile` port on a commit that is recorded, which its hash says is unchanged."""

    path: str

    def read(self, known_digest: bytes | None) -> Skipped | None:
        """Return None, unless another run has removed it since it was listed."""
        return None if known_digest is not None else Skipped(self.path, "removed by another run", transient=True)


@dataclass(frozen=True, slots=True)
class _NewCommit:
    """The `SourceFile` port on a commit that was read."""

    commit: Commit
    source: str
    prefix: bytes

    @property
    def path(self) -> str:
        return COMMITS + self.commit.hash

    def read(self, known_digest: bytes | None) -> StoredFile | Skipped:  # noqa: ARG002 - it is known to differ
        if not self.commit.has_reason:
            return Skipped(self.path, NO_REASON)
        memory = self.commit.new_memory(self.source)
        if holds_secret(memory.content.encode()):
            return Skipped(self.path, SECRET)
        # Without the hash, so that the same change in a rewritten history has the same digest.
        change = f"{self.commit.author}\0{self.commit.timestamp}\0{self.commit.message}"
        return StoredFile(self.path, self.prefix + blake2b(change.encode(), digest_size=16).digest(), [memory])


def _prefix(at_boundary: bool) -> bytes:  # noqa: FBT001 - private
    """Return the beginning of a digest: a commit is read again when its parents were fetched."""
    return COMMIT_VERSION + (b"?" if at_boundary else b"!")
