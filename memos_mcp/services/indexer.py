"""Keeps the index in sync with Postgres: processes the queue, reconciles, builds new generations."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from memos_mcp.domain.engines import BuildProgress, EngineRegistry
from memos_mcp.domain.errors import MemosError, Unavailable
from memos_mcp.domain.index import ITEM_KINDS, IndexReport, ItemKind, VectorIndex
from memos_mcp.domain.index_log import IndexLog
from memos_mcp.domain.index_queue import IndexQueue
from memos_mcp.domain.quotas import NO_QUOTAS, Quotas
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.services.batches import Batches
from memos_mcp.services.build_clock import BuildClock
from memos_mcp.services.embedding_budget import EmbeddingBudget
from memos_mcp.services.fair_shares import release_share
from memos_mcp.services.indexed_versions import IndexedVersions
from memos_mcp.services.indexer_state import IndexerState
from memos_mcp.services.projector import Projector
from memos_mcp.services.reconciliation import build, differences

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 5.0
HOUSEKEEPING_SECONDS: Final = 1.0
FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 15.0
REBUILD_RETRY_SECONDS: Final = 60.0
OPENING_SECONDS: Final = 30.0
CHECK_FIRST_SECONDS: Final = 1.0


class Indexer:
    """The only task that writes to the index. It also reports the state of the index."""

    def __init__(
        self,
        index: VectorIndex,
        queue: IndexQueue,
        log: IndexLog,
        engines: EngineRegistry,
        projector: Projector,
        telemetry: Telemetry = NO_TELEMETRY,
        quotas: Quotas = NO_QUOTAS,
    ) -> None:
        self._index = index
        self._queue = queue
        self._log = log
        self._engines = engines
        self._projector = projector
        self._telemetry = telemetry
        self._state = IndexerState()
        self.indexed_versions = IndexedVersions()
        queue.subscribe(self.indexed_versions.record)
        self._batches = Batches(index, queue, projector, self.indexed_versions, EmbeddingBudget(quotas, telemetry))
        self._build_clock = BuildClock()
        self._opened = anyio.Event()
        self._became_idle = anyio.Event()

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits to be indexed."""
        return self._state.caught_up and not self._swapped

    @property
    def behind(self) -> bool:
        """Whether an answer may lack something that was acknowledged before: true until the queue was seen empty."""
        return self._state.behind or self._swapped

    @property
    def idle(self) -> bool:
        """Whether nothing can be indexed now; an item that failed alone may still be queued."""
        return self._state.idle and not self._swapped

    @property
    def error(self) -> str | None:
        """The reason why the index cannot be searched, if any."""
        return self._state.error

    @property
    def rebuild_failed(self) -> bool:
        """Whether the last attempt at a new generation failed; it is repeated after a while."""
        return self._state.next_rebuild > 0

    @property
    def build_progress(self) -> BuildProgress | None:
        """How far a new generation is built from the record, None while none is."""
        return self._build_clock.progress

    async def wait_until_opened(self) -> None:
        """Wait, for a bounded time, until the index was opened or could not be."""
        if not self._opened.is_set():
            with anyio.move_on_after(OPENING_SECONDS):
                await self._opened.wait()

    async def wait_until_idle(self) -> None:
        """Wait until nothing can be indexed now."""
        while not self.idle:
            await self._became_idle.wait()

    async def wait_until_indexed(
        self, kind: ItemKind, item_id: UUID, version: int, *, fresh: bool, seconds: float
    ) -> bool:
        """Wait, for a bounded time, until the index holds this version; `fresh`: it was written right now."""
        release_share()
        if fresh:
            self._state = self._state.enqueued()
            with self._telemetry.stage("index_wait"), anyio.move_on_after(seconds):
                await self._opened.wait()
                if self._state.serving and not self._index.outdated:
                    await self.indexed_versions.wait(kind, item_id, version)
                    return True
        indexed = item_id not in await self._queue.queued_ids(kind, [item_id])
        if not indexed:
            self._state = self._state.enqueued(acknowledged=True)
        return indexed

    async def wait_until_dropped(self, kind: ItemKind, item_ids: Sequence[UUID], seconds: float) -> bool:
        """Wait, for a bounded time, until the index no longer holds these items, which were deleted right now."""
        release_share()
        self._state = self._state.enqueued()
        with self._telemetry.stage("index_wait"), anyio.move_on_after(seconds):
            while await self._queue.queued_ids(kind, item_ids):
                await self.indexed_versions.change()
            return True
        return False

    async def run(self) -> None:
        """Serve until cancelled; after a failure of any part, retry after ever longer delays up to a bound.

        While retries fail for the same reason, it is logged once.
        """
        delay = FIRST_RETRY_SECONDS
        logged: str | None = None
        while True:
            began = anyio.current_time()
            try:
                await self._open()
                async with anyio.create_task_group() as tasks:
                    await self._serve(tasks)
            except* Unavailable as group:
                reason = str(group.exceptions[0])
                self._state = self._state.failed(reason)
                level = logging.DEBUG if reason == logged else logging.WARNING
                logger.log(level, "The index cannot be brought up to date right now: %s", reason)
                logged = reason
            except* Exception as group:  # a defect here must cost a retry, not the server
                logger.exception("The indexer failed and will start again", exc_info=group)
                self._state = self._state.failed("The indexer failed; the log says why.")
            finally:
                self._state = self._state.stopped()
                self._opened.set()
            if anyio.current_time() - began > LAST_RETRY_SECONDS:
                delay, logged = FIRST_RETRY_SECONDS, None
            with suppress(MemosError):
                await self._report(None)
            await anyio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    async def rebuild(self) -> None:
        """Build a new generation from the record beside the current one, and replace it."""
        total = sum([await self._projector.rows(kind).count() for kind in ITEM_KINDS])
        draft = await self._index.draft(await self._projector.shape())
        self._build_clock.start(total)
        try:
            await self._replace(partial(build, draft, self._projector, self._build_clock.advance))
        finally:
            self._build_clock.stop()

    async def rebuild_graph(self) -> None:
        """Build a new graph for the points of the current generation, beside it, and replace it."""
        draft = await self._index.copy()
        await self._replace(draft.commit)

    async def _replace(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Swap in a new generation, and queue what changed while it was built."""
        self._state = self._state.replacing(self._index.generation)
        try:
            await commit()
            lacks_items = bool(await self._reconcile() and await self._depth())
            self._state = self._state.generation_swapped(lacks_items=lacks_items)
        finally:
            self._state = self._state.replacing(None)
            self._notify_idle()

    @property
    def _swapped(self) -> bool:
        return self._state.swapped(self._index.generation)

    async def _open(self) -> None:
        await self._index.open(await self._projector.shape())
        await self._index.restore()
        if self._index.exclusive:
            await self._queue.reclaim()

    async def _serve(self, tasks: TaskGroup) -> None:
        self._state = self._state.opened()
        tasks.start_soon(self._check)
        tasks.start_soon(self._answer_soon)
        while True:
            await self._do_housekeeping(tasks)
            if self._index.outdated or not await self._drain(tasks):
                await self._wait_for_work()

    async def _check(self) -> None:
        """Compare the index with the record while it is searched already."""
        out_of_sync = await self._reconcile()
        epoch = self._state.enqueue_epoch
        depth = await self._depth()
        self._state = self._state.reconciled(out_of_sync, depth, epoch)
        self._opened.set()
        self._notify_idle()

    async def _answer_soon(self) -> None:
        """Let questions wait for the comparison only for a moment: with much data it takes a minute."""
        await anyio.sleep(CHECK_FIRST_SECONDS)
        self._opened.set()

    async def _wait_for_work(self) -> None:
        """Wait until something is queued, or for a bounded time."""
        epoch = self._state.enqueue_epoch
        queue = await self._queue.state()
        self._state = self._state.drained(queue, epoch, outdated=self._index.outdated)
        self._notify_idle()
        await self._queue.wait(HOUSEKEEPING_SECONDS if self._state.poll_soon else POLL_SECONDS)
        self._state = self._state.resumed()

    def _notify_idle(self) -> None:
        self._became_idle.set()
        self._became_idle = anyio.Event()

    async def _depth(self) -> int:
        return sum((await self._queue.state()).depth.values())

    async def _do_housekeeping(self, tasks: TaskGroup) -> None:
        """Report what the index holds, and start a rebuild when one is due; at most once a second."""
        self._state = self._state.housekeeping(anyio.current_time(), HOUSEKEEPING_SECONDS)
        if not self._state.housekeeping_pending:
            await self._report(await self._index.report())
            await self._start_rebuild_if_due(tasks)

    async def _report(self, report: IndexReport | None) -> None:
        """Record that this engine runs, and what it holds: None while the index cannot be brought up to date."""
        await self._engines.refresh(report, self.build_progress, exclusive=self._index.exclusive)

    async def _start_rebuild_if_due(self, tasks: TaskGroup) -> None:
        if self._state.rebuilding or anyio.current_time() < self._state.next_rebuild:
            return
        requested = await self._log.rebuild_requested()
        if requested is not None or self._index.outdated:
            rebuild = self.rebuild
        elif not self._state.loading and await self._index.wants_graph():  # a load would be slowed down
            rebuild = self.rebuild_graph
        else:
            return
        self._state = self._state.rebuild_started()
        tasks.start_soon(self._rebuild, rebuild, requested)

    async def _rebuild(self, rebuild: Callable[[], Awaitable[None]], requested: datetime | None) -> None:
        """Rebuild while the current generation serves; after a failure it stays until the next attempt."""
        next_rebuild = self._state.next_rebuild
        try:
            await rebuild()
            if requested is not None:
                await self._log.rebuild_done(requested)
            next_rebuild = 0.0
        except Exception:
            logger.exception("A new generation of the index could not be built; the current one stays")
            next_rebuild = anyio.current_time() + REBUILD_RETRY_SECONDS
        finally:
            self._state = self._state.rebuild_stopped(next_rebuild)

    async def _reconcile(self) -> int:
        """Queue every item whose points differ from its row, in either direction; return how many."""
        if not any((await self._index.report()).items.values()):  # then all at once, so that words find them
            await self._queue.mark_remaining()
            return await self._depth()
        queued = 0
        for kind in ITEM_KINDS:
            async for out_of_sync in differences(self._index, self._projector.rows(kind), kind):
                await self._queue.mark(kind, out_of_sync)
                queued += len(out_of_sync)
        return queued

    async def _drain(self, tasks: TaskGroup) -> bool:
        """Index one batch; return whether anything was queued. While a full batch is written, the next one is read."""
        claims, full = await self._batches.claim()
        self._state = self._state.claimed(len(claims), full_batch=full)
        return await self._batches.index(claims, tasks, full=full)
