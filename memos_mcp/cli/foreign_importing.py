"""The command that imports the export of another memory, or shows what it would import."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from tqdm import tqdm

from memos_mcp.app import open_app
from memos_mcp.cli.console import cancelled_by_signals, printable
from memos_mcp.cli.importing import BATCH_BYTES, BATCH_LINES, ImportProgress, finish, store_batch
from memos_mcp.domain.memory import NewMemory
from memos_mcp.engine.admission import own_scope
from memos_mcp.foreign_formats.entries import ForeignMemory, NotImported
from memos_mcp.foreign_formats.foreign_export import ForeignExport
from memos_mcp.settings import Settings


@dataclass(slots=True)
class SkipReport:
    """What is not imported: refused parts are reported at once, the others counted by reason and listed if asked."""

    list_skipped: bool
    progress: ImportProgress
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, entry: NotImported) -> None:
        """Count an entry, and report it if it is refused."""
        if entry.refused:
            self.progress.counts["refused"] += 1
            tqdm.write(f"{printable(entry.where)}: {printable(entry.reason)}", file=sys.stderr)
            return
        self.reasons[entry.reason] += 1
        if self.list_skipped:
            tqdm.write(f"skipped: {printable(entry.where)}: {printable(entry.reason)}", file=sys.stderr)

    @property
    def summary(self) -> str:
        """The number of skipped parts for each reason, in words."""
        counts = ", ".join(f"{printable(reason)} ({count:,})" for reason, count in sorted(self.reasons.items()))
        return f"skipped: {counts or 'nothing'}"


async def import_foreign(settings: Settings, *, path: Path, system: str, list_skipped: bool, wait: bool) -> int:
    """Import every memory of an export and report the rest; return 1 if something was refused.

    Storing is idempotent, as in `import_file`, and Ctrl-C takes effect between two batches.
    """
    progress = ImportProgress()
    report = SkipReport(list_skipped, progress)
    with (
        closing(ForeignExport(path, system, datetime.now(UTC))) as export,
        anyio.CancelScope() as stop,
        cancelled_by_signals(stop),
    ):
        async with open_app(settings) as app:
            with tqdm(total=export.size, unit="B", unit_scale=True, desc="stored") as bar:
                for batch in _batches(export, report):
                    await store_batch(app, own_scope(settings), batch, progress.counts)
                    bar.update(export.bytes_read - bar.n)
            await finish(app, progress, report.summary, wait=wait)
        return progress.exit_code
    return progress.stopped()


def _batches(export: ForeignExport, report: SkipReport) -> Iterator[list[NewMemory]]:
    """Yield memories, up to `BATCH_LINES` or `BATCH_BYTES` at once, and fewer after so many entries without any."""
    batch, count, size = list[NewMemory](), 0, 0
    for entry in export.entries():
        count += 1
        if isinstance(entry, ForeignMemory):
            batch.append(entry.new)
            size += len(entry.new.content)
        else:
            report.add(entry)
        if count == BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, count, size = [], 0, 0
    yield batch


async def show_foreign(_settings: Settings, *, path: Path, system: str, list_skipped: bool) -> int:
    """Print what would be imported, as JSON Lines that `import` reads; the report of the rest is printed to stderr."""
    progress = ImportProgress()
    report = SkipReport(list_skipped, progress)
    with closing(ForeignExport(path, system, datetime.now(UTC))) as export:
        try:
            for batch in _batches(export, report):
                for new in batch:
                    print(json.dumps(_arguments(new), ensure_ascii=False))
                progress.counts["memories"] += len(batch)
                await checkpoint()  # where Ctrl-C takes effect
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as `head`, has what it wants
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"{progress.summary}\n{report.summary}\nNothing was stored: this was a dry run.", file=sys.stderr)
    return progress.exit_code


def _arguments(new: NewMemory) -> dict[str, Any]:
    """Return the arguments of `store_memory` for a memory."""
    times = {"occurred_at": new.occurred_at, "expires_at": new.expires_at}
    given: dict[str, Any] = {
        "content": new.content,
        "kind": new.kind,
        "tags": list(new.tags),
        "metadata": new.metadata,
        "session_id": new.session_id,
        **{name: time.isoformat() for name, time in times.items() if time is not None},
    }
    return {name: value for name, value in given.items() if value not in (None, [], {})}
