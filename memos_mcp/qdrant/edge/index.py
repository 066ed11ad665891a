"""The embedded index: Qdrant Edge in a process of its own per generation, so that no search stalls the engine.

In the engine's own process every call would block its event loop: up to half a second for a load, half a minute and
more for a graph (`shards.py` has the figures). A pipe adds about 0.3 ms to a search instead.

Postgres is the record. Acknowledged writes survive `kill -9` of any process through the shards' write-ahead logs. A
power cut can lose the last seconds; the next start compares versions and indexes the lost items again.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import (
    Entry,
    IndexFilter,
    IndexQuery,
    IndexReport,
    ItemKind,
    ItemState,
    Lanes,
    SequenceRange,
    Shape,
)
from memos_mcp.qdrant.edge import generations as disk
from memos_mcp.qdrant.edge.draft import EdgeDraft
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.launcher import Launcher
from memos_mcp.qdrant.edge.worker_handle import FAILED, SEARCH_SECONDS, RunningGeneration, WorkerExited
from memos_mcp.qdrant.lanes import comparable, to_lanes
from memos_mcp.qdrant.points import CLOSED, OUTDATED, StateScan

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 10.0
"""Time for an answer that needs little work; an index process that takes longer is killed and started again."""

ANSWER_SECONDS: Final = 30.0
"""The same for all other answers. The slowest, a write that has much flushed, takes half a second on an idle disk, and
a batch is given up after 60 s."""

FILTER_PARTS: Final = [part.name for part in fields(IndexFilter)]

NOT_ANSWERING: Final = "The search index does not answer in time."
UNUSABLE: Final = "The search index's folder cannot be used. The server's log says why."


class EdgeIndex:
    """The `VectorIndex` port on Qdrant Edge. One process of an installation at a time can have it open."""

    def __init__(self, folder: Path, hnsw_threshold: int) -> None:
        self._folder = folder
        self._hnsw_threshold = hnsw_threshold
        self._launcher = Launcher(folder, hnsw_threshold)
        self._change = anyio.Lock()
        self._writing = anyio.Lock()
        self._wanted: Shape | None = None
        self._current: RunningGeneration | None = None
        self._drafts: set[EdgeDraft] = set()

    @property
    def exclusive(self) -> bool:
        return True

    @property
    def outdated(self) -> bool:
        return self._current is not None and self._current.generation.shape != self._wanted

    @property
    def shape(self) -> Shape | None:
        return None if self._current is None else self._current.generation.shape

    @property
    def generation(self) -> str | None:
        return None if self._current is None else self._current.generation.name

    async def open(self, shape: Shape) -> None:
        """Open the current generation, or create an empty one. Restarts its process if that has ended."""
        async with self._change:
            self._wanted = shape
            if self._current is not None and not self._current.worker.exited:
                return
            try:
                await self._open(shape)
            except OSError as error:
                logger.exception("The folder of the search index cannot be used")
                raise IndexUnavailable(self._launcher.reason(UNUSABLE)) from error

    async def wants_graph(self) -> bool:
        """Whether a new graph is worthwhile: the points outside the graph are more than half of those inside."""
        graph: dict[str, list[int]] = await self._request("graph")
        return any(points - inside > max(self._hnsw_threshold, inside // 2) for points, inside in graph.values())

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        if self.outdated:
            raise IndexUnavailable(OUTDATED)
        async with self._writing:
            await self._ask(lambda running: running.worker.put(kind, entries, first=PING_SECONDS, each=ANSWER_SECONDS))

    async def drop(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None:
        if item_ids:
            async with self._writing:
                items = [str(item) for item in item_ids]
                await self._ask(
                    lambda running: running.worker.drop(kind, items, first=PING_SECONDS, each=ANSWER_SECONDS)
                )

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        texts, models = [question.text for question in questions], [question.model for question in questions]
        vectors = [question.vector for question in questions if question.vector is not None]
        if not await self._running().worker.answers():
            raise IndexUnavailable(NOT_ANSWERING)
        try:
            with anyio.fail_after(SEARCH_SECONDS):
                answers = await self._ask(
                    lambda running: running.worker.search(
                        vectors if comparable(models, self._wanted, running.generation.shape) else [],
                        kind=kind,
                        texts=texts,
                        where={name: getattr(where, name) for name in FILTER_PARTS},  # asdict() copies each value
                        limit=limit,
                    )
                )
        except TimeoutError as error:
            raise IndexUnavailable(NOT_ANSWERING) from error
        return to_lanes(answers)

    async def states(self, kind: ItemKind, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        which = {"between": of} if isinstance(of, SequenceRange) else {"items": [str(item) for item in of]}
        scan, offset = StateScan(), None
        while True:
            rows, offset = await self._request("rows", kind=kind, offset=offset, **which)
            scan.add(rows)
            if offset is None:
                return scan.states()

    async def count(self, kind: ItemKind, of: SequenceRange) -> int:
        count: int = await self._request("count", kind=kind, between=of)
        return count

    async def draft(self, shape: Shape) -> EdgeDraft:
        if self._current is None:
            raise IndexUnavailable(CLOSED)
        return self._drafted(await self._launcher.create(shape, background=True))

    async def copy(self) -> EdgeDraft:
        """Copy the files of the current generation, while writes wait: 1 GB for 200,000 points."""
        async with self._writing:
            await self._request("flush")
            copied = await self._launcher.copy(self._running().generation)
        try:
            running = await self._launcher.load(copied, background=True)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await run_sync(disk.remove, copied.path)
            raise
        if running is None:
            raise IndexUnavailable("The copy of the search index cannot be read.")
        return self._drafted(running)

    async def restore(self) -> None:
        if self.outdated:
            kept = await run_sync(disk.previous, self._folder)
            if kept is not None and kept.shape == self._wanted:
                await self._adopt(kept)

    async def prune(self) -> bool:
        """Remove the kept generation, which no process has open; the folder need not be held."""
        return await run_sync(disk.prune, self._folder)

    async def report(self) -> IndexReport:
        running = self._running()
        counts: dict[ItemKind, list[int]] = await self._request("counts", seconds=PING_SECONDS)
        return IndexReport(
            running.generation.name,
            running.generation.shape,
            {kind: items for kind, (items, _) in counts.items()},
            {kind: points for kind, (_, points) in counts.items()},
        )

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            async with self._change:
                running, self._current = self._current, None
                for draft in list(self._drafts):
                    await draft.discard()
                if running is not None:
                    await running.worker.stop()
                self._launcher.release()

    def _drafted(self, running: RunningGeneration) -> EdgeDraft:
        draft = EdgeDraft(running, self._adopt, self._drafts.discard)
        self._drafts.add(draft)
        return draft

    def _running(self) -> RunningGeneration:
        if self._current is None:
            raise IndexUnavailable(CLOSED)
        return self._current

    async def _request(self, operation: str, *, seconds: float = ANSWER_SECONDS, **arguments: Any) -> Any:
        return await self._ask(lambda running: running.worker.request(operation, seconds=seconds, **arguments))

    async def _ask(self, ask: Callable[[RunningGeneration], Awaitable[Any]]) -> Any:
        """Ask the current generation, again if it was swapped out meanwhile. One that takes too long is killed."""
        while True:
            running = self._running()
            try:
                return await ask(running)
            except WorkerExited as error:
                if running is self._current:
                    raise IndexUnavailable(self._launcher.reason(FAILED)) from error
            except TimeoutError as error:
                logger.exception("The index process does not answer; it is killed and started again")
                await running.worker.kill()
                raise IndexUnavailable(FAILED) from error

    async def _open(self, shape: Shape) -> None:
        await self._stop_current()
        await self._launcher.lock()
        try:
            found = await run_sync(disk.current, self._folder)
            running = None if found is None else await self._launcher.load(found)
            if running is None:
                running = await self._launcher.create(shape)
                await run_sync(disk.make_current, running.generation)
        except BaseException:
            self._launcher.release()
            raise
        self._current = running
        kept = await run_sync(disk.previous, self._folder)
        keep = {
            running.generation.name,
            *([kept.name] if kept else []),
            *(draft.generation.name for draft in self._drafts),
        }
        await run_sync(disk.remove_leftovers, self._folder, keep)

    async def _adopt(self, generation: Generation) -> None:
        """Serve a finished generation in place of the current one, without an interruption."""
        async with self._change:
            old = self._running()
            running = await self._launcher.load(generation)
            if running is None:
                raise IndexUnavailable("The new generation of the search index cannot be read; the old one stays.")
            with anyio.CancelScope(shield=True):
                try:
                    await run_sync(disk.replace_current, generation, old.generation)
                except OSError as error:
                    await running.worker.kill()
                    raise IndexUnavailable("The search index's folder cannot be written; the old one stays.") from error
                async with self._writing:
                    self._current = running
                await old.retire(keep=old.generation.shape != generation.shape)

    async def _stop_current(self) -> None:
        running, self._current = self._current, None
        if running is not None:
            await running.worker.kill()
