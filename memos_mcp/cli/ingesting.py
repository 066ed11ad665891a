"""The command that ingests a folder of source code and documents, once or after each change."""

import errno
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Never

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync
from tqdm import tqdm

from memos_mcp.app import App, assemble, open_app
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals, printable
from memos_mcp.cli.ingest_report import ReportOutput, advance
from memos_mcp.cli.ingesting_history import HistoryRun, history_run
from memos_mcp.cli.maintenance import show_indexing
from memos_mcp.domain.errors import Invalid, MemosError, SourceUnavailable, Unavailable
from memos_mcp.domain.limits import check_file_name
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Skipped, SourceFile, StoredFile
from memos_mcp.engine.admission import own_scope
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.file_stamps import FileStamps
from memos_mcp.ingest.files.selection import FileSelection
from memos_mcp.ingest.files.walk import FolderWalk, FoundFile, walk
from memos_mcp.ingest.files.watch import change_rules, changes
from memos_mcp.ingest.reading import read_changed
from memos_mcp.services.ingestion import IngestReport
from memos_mcp.settings import Settings

RETRY_SECONDS: Final = 5.0
UNREAD_SECONDS: Final = 60.0
"""After which a watched folder is walked again when something could not be read: no change is reported for that."""

INCOMPLETE: Final = 3
"""The exit code when something could not be read, or a removal was not confirmed; what is recorded of it was kept."""

CHUNKER_VERSION: Final = b"2"
"""A part of each digest: with another version, all files are read, judged and cut again."""

STOPPED: Final = "Stopped. Stored files are kept; run the same command again to continue."


@dataclass(frozen=True, slots=True)
class IngestRun:
    """A folder to ingest, the name of its source, what is selected and confirmed, and its history if asked for."""

    root: Path
    scope: Scope
    source: str
    selection: FileSelection
    output: ReportOutput
    confirmed: bool
    stamps: FileStamps
    stored: anyio.Event
    """Set once something was stored. Without that, the run needs no index and no model, which take long to load."""

    history: HistoryRun | None = None

    async def execute(
        self, app: App, *, write: bool = True, quiet: bool = False, within: AbstractSet[str] | None = None
    ) -> IngestReport:
        """Update the stored files to match the folder, or only these paths in it, and then the commits.

        The report is about the files; it also has the commits that make the run incomplete. With `quiet`, print nothing
        unless something changed.
        """
        walked = walk(self.root, within, self.selection)
        found = await run_sync(self._find, walked)
        with tqdm(total=len(found), unit="file", desc="read", disable=quiet, mininterval=0.5) as bar:
            report = await app.ingestion.ingest(
                self.scope,
                self.source,
                _until_replaced(found, walked),
                partial(advance, bar, self.stored),
                write=write,
                confirmed=self.confirmed,
                within=within,
            )
        if write:
            await run_sync(self._save_stamps, None if within is not None else {file.path for file in found})
        report.refusals, report.worktrees = walked.refusals, walked.worktrees
        if report.wrote or not quiet or not report.complete:
            self.output.print(self.source, "files", report, written=write)
        if self.history is not None:
            commits = await self.history.execute(app, write=write, quiet=quiet)
            report.omitted += [one for one in commits.omitted if one.transient]
            report.unconfirmed += commits.unconfirmed
        return report

    def _find(self, walked: FolderWalk) -> list[SourceFile | Skipped]:
        try:
            return [
                entry if isinstance(entry, Skipped) else _IngestedFile(entry, self.source, self.stamps)
                for entry in walked
            ]
        except OSError as error:
            reason = error.strerror or str(error)
            raise SourceUnavailable(f"{self.root} cannot be listed: {reason}. Nothing was changed.") from error

    def _save_stamps(self, found: set[str] | None) -> None:
        if found is not None:
            self.stamps.retain(found)
        self.stamps.save()


@dataclass(frozen=True, slots=True)
class _IngestedFile:
    """The `SourceFile` port on a file that the walk found."""

    found: FoundFile
    source: str
    stamps: FileStamps

    @property
    def path(self) -> str:
        return self.found.path

    def read(self, known_digest: bytes | None) -> StoredFile | Skipped | None:
        if known_digest is not None and known_digest == self.stamps.digest(self.path, self.found.stamp):
            return None
        source_text = read_changed(self.found, _digest_of_bytes(known_digest))
        if isinstance(source_text, Skipped):
            return source_text
        if source_text is None and known_digest is not None:
            self.stamps.record(self.path, self.found.stamp, known_digest)
        if source_text is None:
            return None
        digest = CHUNKER_VERSION + source_text.digest
        self.stamps.record(self.path, self.found.stamp, digest)
        return StoredFile(self.path, digest, [chunk.new_memory(self.source) for chunk in chunks(source_text)])


def _digest_of_bytes(known_digest: bytes | None) -> bytes | None:
    """Return the digest of a file's bytes, or None when other rules cut the file."""
    if known_digest is None or not known_digest.startswith(CHUNKER_VERSION):
        return None
    return known_digest.removeprefix(CHUNKER_VERSION)


async def ingest(
    settings: Settings,
    *,
    path: Path,
    name: str | None,
    dry_run: bool,
    watch: bool,
    wait: bool,
    list_skipped: bool,
    as_json: bool,
    confirmed: bool,
    patterns: Sequence[str],
    history: bool,
    since: str | None,
) -> int:
    """Ingest a folder, with `watch` again after each change until a signal stops it; return the exit code."""
    if watch and confirmed:
        raise Invalid("--watch never removes most files of a source. Run once with --yes, and then with --watch.")
    if since is not None and not history:
        raise Invalid("--since limits which commits are ingested. Give --history too, or leave it out.")
    output = ReportOutput(list_skipped, as_json)
    try:
        root, scope_ = _folder(path), own_scope(settings)
        source = _source_name(root, name)
        stored = anyio.Event()
        open_run = partial(history_run, root, scope_, source, since, output, stored, confirmed=confirmed)
        commits = await run_sync(open_run) if history else None
        stamps = await run_sync(FileStamps.of_folder, settings.home, root, CHUNKER_VERSION.decode())
        selection = FileSelection.of(patterns, settings.ingest_max_bytes)
        run = IngestRun(root, scope_, source, selection, output, confirmed, stamps, stored, commits)
        # JSON on stdout is for programs; what else is printed is for people.
        messages = redirect_stdout(sys.stderr) if as_json else nullcontext()
        with messages, anyio.CancelScope() as scope, cancelled_by_signals(scope):
            return await (_dry_run(run, settings) if dry_run else _ingest(run, settings, watch=watch, wait=wait))
    except SourceUnavailable as error:
        print(f"memos-as: {printable(str(error))}", file=sys.stderr)
        return INCOMPLETE
    print(STOPPED, file=sys.stderr)
    return 0 if watch else INTERRUPTED


async def _ingest(run: IngestRun, settings: Settings, *, watch: bool, wait: bool) -> int:
    async with open_app(settings, indexing=run.stored) as app:
        if watch:
            run.stored.set()
            await _watch(run, app)
        report = await run.execute(app)
        if not wait or not await _count_queued(app):
            return _exit_code(report)
        run.stored.set()
        return await show_indexing(app) or _exit_code(report)


async def _count_queued(app: App) -> int:
    """Return the number of queued items; for none, the command does not wait for the model."""
    return sum((await app.queue.state()).depth.values())


async def _dry_run(run: IngestRun, settings: Settings) -> int:
    """Report the changes; nothing is stored or indexed."""
    app = assemble(settings)
    try:
        report = await run.execute(app, write=False)
    finally:
        await app.close()
    print("Nothing was stored: this was a dry run.")
    return _exit_code(report)


async def _watch(run: IngestRun, app: App) -> Never:
    """Ingest the folder, and after each change what has changed in it, until it no longer exists."""
    failure = Unavailable(f"{run.root} no longer exists. The stored files are kept.")
    changed, paths = anyio.Event(), set[str]()
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            nonlocal failure
            try:
                async for burst in changes(run.root):
                    paths.update(burst)
                    changed.set()
            except OSError as error:
                failure = Unavailable(f"{run.root} cannot be watched: {error.strerror or error}.")
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        if run.history is not None:
            tasks.start_soon(run.history.follow, lambda: changed.set())  # noqa: PLW0108 - each run has its own event
        await checkpoint()  # start watching before the first file is read
        quiet, within = False, None
        while True:
            wait = await _try_ingest(run, app, quiet=quiet, within=within)
            quiet = quiet or wait != RETRY_SECONDS
            with anyio.move_on_after(wait):
                await changed.wait()
            known = wait is None and not change_rules(paths)
            within = frozenset(paths) if known else None
            changed = anyio.Event()
            paths.clear()
    raise failure


async def _try_ingest(run: IngestRun, app: App, *, quiet: bool, within: AbstractSet[str] | None) -> float | None:
    """Ingest the folder or some paths; return after how many seconds all of it is walked again without a change."""
    try:
        report = await run.execute(app, quiet=quiet, within=within)
    except MemosError as error:
        print(f"memos-as: {error}", file=sys.stderr)
        return RETRY_SECONDS
    if not quiet:
        print(f"Watching {printable(str(run.root))}. Press Ctrl-C to stop.", flush=True)
    return UNREAD_SECONDS if any(one.transient for one in report.omitted) else None


def _folder(path: Path) -> Path:
    try:
        root = path.expanduser().resolve(strict=True)
        is_folder = root.is_dir()
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise SourceUnavailable(f"{path} cannot be read: {error.strerror}. Nothing was changed.") from error
        raise Invalid(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no such folder'}.") from error
    if not is_folder:
        raise Invalid(f"{path} is not a folder. Give the folder that holds it.")
    return root


def _source_name(root: Path, name: str | None) -> str:
    name = root.name if name is None else name
    if not name:
        raise Invalid("This folder has no name. Name the source with --name.")
    check_file_name("the name of the source", name)
    return name


def _until_replaced(found: list[SourceFile | Skipped], walked: FolderWalk) -> Iterator[SourceFile | Skipped]:
    """Yield what was found; then check that the folder is still the same, before anything is removed."""
    yield from found
    walked.check_root()


def _exit_code(report: IngestReport) -> int:
    return 0 if report.complete else INCOMPLETE
