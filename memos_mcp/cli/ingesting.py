"""The command that takes in a folder of source code and documents, once or whenever something in it changes."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync
from tqdm import tqdm

from memos_mcp.app import App, assemble, open_app
from memos_mcp.cli.maintenance import indexed
from memos_mcp.cli.serving import scope_of
from memos_mcp.domain.errors import Invalid, MemosError, Unavailable
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Skipped, SourceFile, StoredFile
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.reading import read
from memos_mcp.ingest.walk import FoundFile, walk
from memos_mcp.ingest.watch import changes
from memos_mcp.services.ingestion import IngestReport
from memos_mcp.settings import Settings

RETRY_SECONDS: Final = 5.0

EDITION: Final = b"1"
"""What files were cut by; another one makes them be cut again."""

INTERRUPTED: Final = 130
"""What a shell gives for a command that Ctrl-C has ended."""

STOPPED: Final = "Stopped. What was stored stays, and the same command goes on from there."


@dataclass(frozen=True, slots=True)
class Intake:
    """What is to be taken in, under which name, and how much is said of it."""

    root: Path
    scope: Scope
    source: str
    list_skipped: bool

    async def run(self, app: App, *, write: bool = True, quiet: bool = False) -> IngestReport:
        """Compare the folder with the record and make the record follow; `quiet` without a change."""
        found = await run_sync(self._found)
        with tqdm(total=len(found), unit="file", desc="looked at", disable=quiet, mininterval=0.5) as bar:
            tally = await app.ingestion.take_in(
                self.scope, self.source, iter(found), partial(_advance, bar), write=write
            )
        if tally.wrote or not quiet:
            self._report(tally)
        return tally

    def _found(self) -> list[SourceFile | Skipped]:
        if not self.root.is_dir():
            raise Unavailable(f"{self.root} is not there just now. Nothing was changed.")
        return [one if isinstance(one, Skipped) else _Sighting(one, self.source) for one in walk(self.root)]

    def _report(self, tally: IngestReport) -> None:
        chunks = tally.chunks
        print(
            f"{_printable(self.source)}: files: {tally.new:,} new, {tally.changed:,} changed, "
            f"{tally.unchanged:,} unchanged, {tally.removed:,} removed; chunks: {chunks.created:,} created, "
            f"{chunks.kept:,} kept, {chunks.moved:,} moved, {chunks.removed:,} removed"
        )
        if self.list_skipped:
            for one in tally.omitted:
                print(f"skipped: {_printable(one.path)}: {one.reason}")
        elif tally.omitted:
            print("skipped: " + ", ".join(f"{count:,} {reason}" for reason, count in tally.reasons().items()))
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class _Sighting:
    """The `File` port, on a file that the walk has found."""

    found: FoundFile
    source: str

    @property
    def path(self) -> str:
        return self.found.path

    def look(self, known: bytes | None) -> StoredFile | Skipped | None:
        document = read(self.found)
        if isinstance(document, Skipped):
            return document
        digest = EDITION + document.digest
        if digest == known:
            return None
        return StoredFile(self.path, digest, [chunk.new_memory(self.source) for chunk in chunks(document)])


async def ingest(
    settings: Settings, *, path: Path, name: str | None, dry_run: bool, watch: bool, wait: bool, list_skipped: bool
) -> int:
    """Take in a folder; with `watch`, again after each change until told to stop."""
    root = _folder(path)
    intake = Intake(root, scope_of(settings), _name(root, name), list_skipped)
    with anyio.CancelScope() as scope, _ended_by_signals(scope):
        if dry_run:
            return await _rehearse(intake, settings)
        async with open_app(settings) as app:
            if watch:
                await _follow(intake, app)
            else:
                await intake.run(app)
            return await indexed(app) if wait and await _waiting(app) else 0
    print(STOPPED, file=sys.stderr)
    return 0 if watch else INTERRUPTED


@contextmanager
def _ended_by_signals(scope: anyio.CancelScope) -> Iterator[None]:
    """Cancel at Ctrl-C and SIGTERM; the latter also where a script's shell has made its background deaf to Ctrl-C."""
    if sys.platform == "win32":
        yield
        return
    loop = asyncio.get_running_loop()
    heard = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    for one in heard:
        loop.add_signal_handler(one, scope.cancel)
    try:
        yield
    finally:
        for one in heard:
            loop.remove_signal_handler(one)


async def _waiting(app: App) -> int:
    """Return how much there is to index; for nothing, the model need not be waited for."""
    return sum((await app.queue.state()).depth.values())


async def _rehearse(intake: Intake, settings: Settings) -> int:
    """Say what would be done; nothing is stored or indexed."""
    app = assemble(settings)
    try:
        await intake.run(app, write=False)
    finally:
        await app.close()
    print("Nothing was stored: this was a dry run.")
    return 0


async def _follow(intake: Intake, app: App) -> None:
    """Take the folder in, and again whenever something changed, until it is gone."""
    news, failure = anyio.Event(), Unavailable(f"{intake.root} is gone. What was taken in stays as it was.")
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            nonlocal failure
            try:
                async for _ in changes(intake.root):
                    news.set()
            except OSError as error:
                failure = Unavailable(f"{intake.root} cannot be watched: {error.strerror or error}.")
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        await checkpoint()  # it listens before the first file is read
        quiet = False
        while True:
            news = anyio.Event()
            if await _retold(intake, app, quiet=quiet):
                quiet = True
                await news.wait()
            else:
                await anyio.sleep(RETRY_SECONDS)
    raise failure


async def _retold(intake: Intake, app: App, *, quiet: bool) -> bool:
    """Take the folder in; return whether it went well, and say so or why not."""
    try:
        await intake.run(app, quiet=quiet)
    except MemosError as error:
        print(f"memos-as: {error}", file=sys.stderr)
        return False
    if not quiet:
        print(f"Watching {_printable(str(intake.root))}. Ctrl-C ends it.", flush=True)
    return True


def _folder(path: Path) -> Path:
    try:
        root = path.expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Invalid(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no such folder'}.") from error
    if not root.is_dir():
        raise Invalid(f"{path} is not a folder. Give the folder that holds it.")
    return root


def _name(root: Path, given: str | None) -> str:
    name = root.name if given is None else given
    if not name:
        raise Invalid("This folder has no name of its own. Give the source one with --name.")
    check_name("the name of the source", name)
    return name


def _advance(bar: "tqdm[Any]", tally: IngestReport) -> None:
    bar.update(tally.new + tally.changed + tally.unchanged + len(tally.omitted) - bar.n)


def _printable(text: str) -> str:
    """Return a name or path without what a terminal could not show or would act upon."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
