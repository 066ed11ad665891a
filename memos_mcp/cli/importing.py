"""The command that imports a JSON Lines file of memories or tools."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.memory import MemoryObjectSendStream
from tqdm import tqdm

from memos_mcp.app import App, open_app
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals
from memos_mcp.cli.maintenance import show_indexing
from memos_mcp.domain.errors import Invalid, MemosError, NotFound
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.engine.admission import own_scope
from memos_mcp.mcp_server.memory_tools import STORE_MEMORY
from memos_mcp.mcp_server.toolbox_tools import REGISTER_TOOL
from memos_mcp.settings import Settings

BATCH_LINES: Final = 1_024
"""Lines of one transaction: with 256, a sixth fewer are stored a second."""

BATCH_BYTES: Final = 4 * 1024 * 1024

YIELD_LINES: Final = 32
"""Lines that are parsed without a break, in which the batch before is sent on to Postgres."""

LineOfFile = TypeVar("LineOfFile")

ParsedBatch: TypeAlias = tuple[int, Mapping[int, NewMemory | NewTool]]
"""The bytes of a batch, and its valid lines by their numbers."""


@dataclass(slots=True)
class ImportProgress:
    """What an import has done so far. `complete`: all of it is stored, and only the index may be behind."""

    counts: Counter[str] = field(default_factory=Counter)
    complete: bool = False

    @property
    def summary(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.counts.items()))

    @property
    def exit_code(self) -> int:
        """1 if something was refused."""
        return 1 if "refused" in self.counts else 0

    def stopped(self) -> int:
        """Report that Ctrl-C stopped the import, what is stored, and how to continue; return the exit code."""
        if self.complete:
            print("Stopped. Everything is stored; a running engine indexes the rest, or the next one does.")
        else:
            print(f"Stopped. Stored so far: {self.summary or 'nothing'}.")
            print("Run the same command again to continue; what is stored is not stored again.")
        return INTERRUPTED


async def import_file(settings: Settings, file: BinaryIO, *, wait: bool) -> int:
    """Import every valid line and report every invalid one; return 1 if there was an invalid one.

    Each batch of lines is one transaction, and storing is idempotent: an interrupted import is resumed by running it
    again, and existing memories are skipped. Ctrl-C takes effect between two writes, so that the counts are right.
    """
    progress = ImportProgress()
    with anyio.CancelScope() as stop, cancelled_by_signals(stop):
        async with open_app(settings) as app:
            await _store_lines(app, own_scope(settings), file, progress.counts)
            await finish(app, progress, wait=wait)
        return progress.exit_code
    return progress.stopped()


async def _store_lines(app: App, scope: Scope, file: BinaryIO, counts: Counter[str]) -> None:
    """Store batch after batch; while Postgres writes one, the next one is parsed."""
    send, receive = anyio.create_memory_object_stream[ParsedBatch](0)
    failure: MemosError | None = None
    with tqdm(total=os.fstat(file.fileno()).st_size, unit="B", unit_scale=True, desc="stored") as bar:
        async with anyio.create_task_group() as tasks, receive:
            tasks.start_soon(_parse_batches, file, counts, send)
            try:
                async for size, parsed in receive:
                    await _store(app, scope, parsed, counts)
                    bar.update(size)
            except MemosError as error:  # raised below: the task group would wrap it
                failure = error
                tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _parse_batches(file: BinaryIO, counts: Counter[str], send: MemoryObjectSendStream[ParsedBatch]) -> None:
    async with send:
        for batch in _batches(file):
            parsed: dict[int, NewMemory | NewTool] = {}
            for number, line in batch:
                if len(parsed) % YIELD_LINES == 0:
                    await checkpoint()
                if (new := _parse_line(number, line, counts)) is not None:
                    parsed[number] = new
            await send.send((sum(len(line) for _, line in batch), parsed))


async def finish(app: App, progress: ImportProgress, *further: str, wait: bool) -> None:
    """Report what was stored, in further lines what was not, and, with `wait`, show the indexing."""
    progress.complete = True
    print("\n".join([progress.summary or "nothing to import", *further]), flush=True)
    if wait:
        await show_indexing(app)


def open_file(path: Path) -> BufferedReader:
    """Open a file from the command line; raise `Invalid` when it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error


def _batches(file: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the numbered lines of a file in batches."""
    return batches(enumerate(file, start=1), lambda numbered: len(numbered[1]))


def batches(lines: Iterable[LineOfFile], size_of: Callable[[LineOfFile], int]) -> Iterator[list[LineOfFile]]:
    """Yield up to `BATCH_LINES` lines at once, and fewer if they are long."""
    batch, size = list[LineOfFile](), 0
    for line in lines:
        batch.append(line)
        size += size_of(line)
        if len(batch) == BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parse_line(number: int, line: bytes, counts: Counter[str]) -> NewMemory | NewTool | None:
    """Return the memory or tool of a line; report the line and the reason when it is invalid."""
    if not line.strip():
        return None
    try:
        return _parse(line)
    except Invalid as error:
        _reject(number, error, counts)
        return None


def _reject(number: int, error: MemosError, counts: Counter[str]) -> None:
    counts["refused"] += 1
    tqdm.write(f"line {number}: {error}", file=sys.stderr)


def _parse(line: bytes) -> NewMemory | NewTool:
    """Parse one line exactly as the tools parse their arguments."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid("This is not JSON in UTF-8.") from None
    if not isinstance(fields, dict):
        raise Invalid("This is not a JSON object.")
    return new_tool(fields) if "tool_id" in fields else new_memory(fields)


def new_memory(fields: Mapping[str, Any]) -> NewMemory:
    """Return a memory; raise `Invalid` when `store_memory` would reject it."""
    new = STORE_MEMORY.parse(fields).new_memory()
    new.check()
    return new


def new_tool(fields: Mapping[str, Any]) -> NewTool:
    """Return a tool; raise `Invalid` when `register_tool` would reject it."""
    new = NewTool(**dict(REGISTER_TOOL.parse(fields)))
    new.check()
    return new


async def _store(app: App, scope: Scope, batch: Mapping[int, NewMemory | NewTool], counts: Counter[str]) -> None:
    plain = {number: new for number, new in batch.items() if isinstance(new, NewMemory) and new.supersedes is None}
    await store_batch(app, scope, list(plain.values()), counts)
    for number, new in batch.items() if len(plain) < len(batch) else ():
        with anyio.CancelScope(shield=True):
            if isinstance(new, NewTool):
                counts[f"tools {(await app.tools.record(scope, new)).outcome}"] += 1
            elif number not in plain:
                await _replace(app, scope, number, new, counts)
        await checkpoint_if_cancelled()


async def store_batch(app: App, scope: Scope, batch: Sequence[NewMemory], counts: Counter[str]) -> None:
    """Store memories in one transaction and count the outcomes. Ctrl-C takes effect before or after it."""
    with anyio.CancelScope(shield=True):
        if batch:
            for added in await app.memories.store_many(scope, batch):
                counts[_outcome(created=added.created, merged=added.merged)] += 1
    await checkpoint()


async def _replace(app: App, scope: Scope, number: int, new: NewMemory, counts: Counter[str]) -> None:
    try:
        stored = await app.memories.store(scope, new)
    except NotFound as error:
        _reject(number, error, counts)
    else:
        counts[_outcome(created=stored.created, merged=stored.merged)] += 1


def _outcome(*, created: bool, merged: bool) -> str:
    return "memories created" if created else "memories merged" if merged else "memories there already"
