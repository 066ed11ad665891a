"""Keeps the index what Postgres says it should be: drains the queue, reconciles, builds new generations."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.index import ITEM_KINDS, Draft, IndexLog, ItemKind, VectorIndex
from memos_mcp.domain.index_queue import Claim, IndexQueue
from memos_mcp.services.indexed_versions import IndexedVersions
from memos_mcp.services.projections import Projector, differences

logger = logging.getLogger(__name__)

BATCH: Final = 64
LEASE: Final = timedelta(seconds=120)
"""How long a claim is held. Work stops at half of it, so that nobody writes a point after losing the claim."""

POLL_SECONDS: Final = 5.0
CHORES_SECONDS: Final = 1.0
FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 15.0
LAST_ITEM_RETRY: Final = timedelta(hours=1)
REBUILD_RETRY_SECONDS: Final = 60.0
OPENING_SECONDS: Final = 30.0
REBUILD_BATCH: Final = 256


class Indexer:
    """The one task that writes to the index; also tells what its state is."""

    def __init__(self, index: VectorIndex, queue: IndexQueue, log: IndexLog, projector: Projector) -> None:
        self._index = index
        self._queue = queue
        self.logger = log
        self._projector = projector
        self._indexed_versions = IndexedVersions()
        self._tried = anyio.Event()
        self._rested = anyio.Event()
        self._error: str | None = "The search index is being opened."
        self._serving = False
        self._idle = False
        self._caught_up = False
        self._behind = True
        self._doubts = 0
        self._loading = False
        self._rebuilding = False
        self._replaced: str | None = None
        self._next_rebuild = 0.0
        self._next_chores = 0.0
        self._chores_due = False

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits to be indexed."""
        return self._caught_up and not self._swapped

    @property
    def behind(self) -> bool:
        """Whether an answer may lack something that was acknowledged before: true until the queue was seen empty."""
        return self._behind or self._swapped

    @property
    def error(self) -> str | None:
        """What keeps the index from being searched, if anything does."""
        return self._error

    @property
    def rebuild_failed(self) -> bool:
        """Whether the last attempt at a new generation failed; it is made again after a while."""
        return self._next_rebuild > 0

    async def wait_until_opened(self) -> None:
        """Wait, for a bounded time, until the index was opened or could not be."""
        with anyio.move_on_after(OPENING_SECONDS):
            await self._tried.wait()

    @property
    def idle(self) -> bool:
        """Whether there is nothing that could be indexed now; what failed alone may still be queued."""
        return self._idle and not self._swapped

    async def wait_until_idle(self) -> None:
        """Wait until there is nothing that could be indexed now."""
        while not self.idle:
            await self._rested.wait()

    async def wait_until_indexed(
        self, kind: ItemKind, item_id: UUID, version: int, *, fresh: bool, seconds: float
    ) -> bool:
        """Wait, for a bounded time, until the index holds this version; `fresh`: it was written just now."""
        if fresh:
            self._doubt()
            with anyio.move_on_after(seconds):
                await self._tried.wait()
                if self._serving:
                    await self._indexed_versions.wait(kind, item_id, version)
                    return True
        indexed = item_id not in await self._queue.queued_ids(kind, [item_id])
        if not indexed:
            self._doubt()
            self._behind = True
        return indexed

    async def run(self) -> None:
        """Serve until cancelled; an outage of any part is waited for, ever longer up to a bound."""
        delay = FIRST_RETRY_SECONDS
        while True:
            began = anyio.current_time()
            try:
                await self._open()
                async with anyio.create_task_group() as tasks:
                    await self._serve(tasks)
            except* Unavailable as group:
                self._error = str(group.exceptions[0])
                logger.warning("The index cannot be brought up to date just now: %s", self._error)
            except* Exception as group:  # a defect here must cost a retry, not the server
                logger.exception("The indexer failed and will start again", exc_info=group)
                self._error = "The indexer failed; the log says why."
            finally:
                self._serving = self._idle = self._caught_up = False
                self._tried.set()
            if anyio.current_time() - began > LAST_RETRY_SECONDS:
                delay = FIRST_RETRY_SECONDS
            await anyio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    async def rebuild(self) -> None:
        """Build a new generation beside the current one, swap it in, and catch up with what changed meanwhile."""
        draft = await self._index.draft(await self._projector.shape())
        self._replaced = self._index.generation
        try:
            await self._write_out(draft)
            if await self._reconcile() and await self._depth():
                self._doubt()
                self._idle, self._behind = False, True
        finally:
            self._replaced = None
            self._announce_rest()

    @property
    def _swapped(self) -> bool:
        """Whether a new generation answers already, but it is not known yet what it lacks."""
        return self._replaced is not None and self._replaced != self._index.generation

    async def _write_out(self, draft: Draft) -> None:
        try:
            for kind in ITEM_KINDS:
                ids = list(await self._projector.versions(kind))
                for start in range(0, len(ids), REBUILD_BATCH):
                    await draft.put(kind, await self._projector.entries(kind, ids[start : start + REBUILD_BATCH]))
            await draft.commit()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await draft.discard()
            raise

    async def _open(self) -> None:
        await self._index.open(await self._projector.shape())
        if self._index.exclusive:
            await self._queue.reclaim()

    async def _serve(self, tasks: TaskGroup) -> None:
        self._serving, self._error = True, None
        self._behind = True
        if not self._index.outdated:
            await self._reconcile()
            doubts = self._doubts
            self._behind = await self._depth() > 0 or self._doubts > doubts
        self._tried.set()
        while True:
            await self._do_chores(tasks)
            if self._index.outdated or not await self._drain():
                await self._rest()

    async def _rest(self) -> None:
        """Wait until something is queued, or look again after a while."""
        doubts = self._doubts
        state = await self._queue.state()
        waiting = sum(state.depth.values())
        empty = not waiting and self._doubts == doubts
        self._idle = not self._index.outdated
        self._caught_up = self._idle and empty
        # What came after the last claim was not acknowledged before: by itself it leaves `behind` as it was.
        self._behind = waiting > state.unclaimed or (self._behind and not empty)
        self._announce_rest()
        await self._queue.wait(CHORES_SECONDS if self._chores_due or not empty else POLL_SECONDS)
        self._idle = self._caught_up = False

    def _doubt(self) -> None:
        """Not be idle: something waits now, which a count of the queue that is under way may not have seen."""
        self._doubts += 1
        self._caught_up = False

    def _announce_rest(self) -> None:
        self._rested.set()
        self._rested = anyio.Event()

    async def _depth(self) -> int:
        return sum((await self._queue.state()).depth.values())

    async def _do_chores(self, tasks: TaskGroup) -> None:
        """Say what the index holds, and start a new generation when one is due; not oftener than once a second."""
        self._chores_due = anyio.current_time() < self._next_chores
        if self._chores_due:
            return
        self._next_chores = anyio.current_time() + CHORES_SECONDS
        await self.logger.publish(await self._index.report())
        await self._start_rebuild_if_due(tasks)

    async def _start_rebuild_if_due(self, tasks: TaskGroup) -> None:
        if self._rebuilding or anyio.current_time() < self._next_rebuild:
            return
        requested = await self.logger.rebuild_requested()
        if requested is not None or self._index.outdated or await self._pays():
            self._rebuilding = True
            tasks.start_soon(self._rebuild, requested)

    async def _pays(self) -> bool:
        """Whether a new graph is worth its time: not while a load goes on, which it would slow down and then lack."""
        return not self._loading and await self._index.wants_rebuild()

    async def _rebuild(self, requested: datetime | None) -> None:
        """Rebuild while the current generation goes on serving; a failure leaves it in place until the next try."""
        try:
            await self.rebuild()
            if requested is not None:
                await self.logger.rebuild_done(requested)
            self._next_rebuild = 0.0
        except Exception:
            logger.exception("A new generation of the index could not be built; the current one stays")
            self._next_rebuild = anyio.current_time() + REBUILD_RETRY_SECONDS
        finally:
            self._rebuilding = False

    async def _reconcile(self) -> int:
        """Queue every item whose points differ from its row, in either direction; return how many."""
        queued = 0
        for kind in ITEM_KINDS:
            astray = await differences(self._index, self._projector, kind)
            await self._queue.mark(kind, astray)
            queued += len(astray)
        return queued

    async def _drain(self) -> bool:
        """Index one batch; return whether there was anything to do."""
        due = await self._queue.claim(BATCH, LEASE)
        self._loading = len(due) == BATCH
        if due:
            self._behind = self._behind or self._loading
            self._chores_due = True
            await self._work_off(due)
        return bool(due)

    async def _work_off(self, due: Sequence[Claim]) -> None:
        try:
            with anyio.fail_after(LEASE.total_seconds() / 2):
                versions = await self._project(due)
        except (Unavailable, anyio.get_cancelled_exc_class()):
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._queue.release(due)
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one item must not stop the others
            await self._isolate(due, error)
        else:
            await self._queue.finish(due)
            for item in due:
                self._indexed_versions.record(item.kind, item.item_id, versions.get(item.item_id, 0))
            self._indexed_versions.notify()

    async def _isolate(self, due: Sequence[Claim], error: Exception) -> None:
        """Try the items of a failed batch one by one; let the one that fails alone wait, ever longer."""
        if len(due) > 1:
            for item in due:
                await self._work_off([item])
            return
        logger.error("An item cannot be indexed and will be tried again", exc_info=error)
        retry = min(timedelta(seconds=2 ** min(due[0].attempts, 20)), LAST_ITEM_RETRY)
        await self._queue.fail(due, type(error).__name__, retry)

    async def _project(self, due: Sequence[Claim]) -> dict[UUID, int]:
        versions: dict[UUID, int] = {}
        for kind in ITEM_KINDS:
            ids = [item.item_id for item in due if item.kind == kind]
            if not ids:
                continue
            entries = await self._projector.entries(kind, ids)
            versions |= {entry.item_id: entry.version for entry in entries}
            await self._index.put(kind, entries)
            await self._index.drop(kind, [item for item in ids if item not in versions])
        return versions
