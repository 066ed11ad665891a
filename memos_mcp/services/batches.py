"""Indexes queued items batch by batch: while the index takes one and the model embeds another, a third one is read."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.index import ITEM_KINDS, ItemKind, VectorIndex
from memos_mcp.domain.index_queue import Claim, Indexed, IndexQueue
from memos_mcp.services.embedding_budget import EmbeddingBudget
from memos_mcp.services.held_states import HeldStates
from memos_mcp.services.indexed_versions import IndexedVersions
from memos_mcp.services.projector import Projector

logger = logging.getLogger(__name__)

BATCH: Final = 32
LARGEST_BATCH: Final = 1024
BATCH_SECONDS: Final = 0.1
"""The time that a batch should take: those of a long queue are doubled or halved towards it. A new item waits for the
batch that is being embedded and for the one that is read."""

LEASE: Final = timedelta(seconds=120)
"""The time a claim is held. Processing stops at half of it, so that no point is written after the claim is lost."""

LAST_ITEM_RETRY: Final = timedelta(hours=1)


class Batches:
    """The batches of one indexer. At most one is being read, one embedded and one written at any time.

    Without the reading ahead the model waited for a twentieth of the time.
    """

    def __init__(
        self,
        index: VectorIndex,
        queue: IndexQueue,
        projector: Projector,
        indexed_versions: IndexedVersions,
        budget: EmbeddingBudget,
    ) -> None:
        self._index = index
        self._queue = queue
        self._projector = projector
        self._indexed_versions = indexed_versions
        self._budget = budget
        self._limit = BATCH
        self._embedding = anyio.Lock()
        self._writing = anyio.Lock()
        self._held = HeldStates(index)
        self._unfinished: list[Sequence[Claim]] = []
        self._finished = anyio.Event()

    async def claim(self) -> tuple[list[Claim], bool]:
        """Claim a batch; return its claims and whether it is full, so that more may be queued."""
        limit = self._limit
        with anyio.CancelScope(shield=True):  # a claim whose answer is not awaited would hold its items for the lease
            claims = await self._queue.claim(limit, LEASE)
        return claims, len(claims) == limit

    async def index(self, claims: Sequence[Claim], tasks: TaskGroup, *, full: bool) -> bool:
        """Index a batch; return whether anything was queued. Returns when a full batch is read and being embedded."""
        began = anyio.current_time()
        if claims:
            embedding = anyio.Event()
            self._unfinished.append(claims)
            tasks.start_soon(self._run, claims, embedding)
            await embedding.wait()
        if not full:
            self._limit = BATCH
            return await self._finish() or bool(claims)
        seconds = anyio.current_time() - began
        if seconds < BATCH_SECONDS:
            self._limit = min(2 * self._limit, LARGEST_BATCH)
        elif seconds > 2 * BATCH_SECONDS:
            self._limit = max(self._limit // 2, BATCH)
        return True

    async def _finish(self) -> bool:
        """Wait until all batches are finished; return whether there were any."""
        waited = bool(self._unfinished)
        while self._unfinished:
            await self._finished.wait()
        return waited

    async def _run(self, claims: Sequence[Claim], embedding: anyio.Event) -> None:
        """Process a batch. The event is set when it is being embedded, or will not be."""
        try:
            await self._process(claims, embedding)
        finally:
            embedding.set()
            self._unfinished.remove(claims)
            self._finished.set()
            self._finished = anyio.Event()

    async def _process(self, claims: Sequence[Claim], embedding: anyio.Event) -> None:
        try:
            with anyio.fail_after(LEASE.total_seconds() / 2):
                claims = await self._within_budget(claims)
                versions = await self._project(claims, embedding)
        except (Unavailable, anyio.get_cancelled_exc_class()):
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._queue.release(claims)
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one item must not stop the others
            await self._isolate(claims, error, embedding)
        else:
            await self._queue.finish(claims)
            indexed = [Indexed(claim.kind, claim.item_id, versions.get(claim.item_id, 0)) for claim in claims]
            self._indexed_versions.record(indexed)
            if not self._index.exclusive:  # a store in another process may wait for one of these
                await self._queue.notify_indexed(indexed)

    async def _within_budget(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Return the claims but for those of namespaces whose time is used up, which are claimed again later."""
        waits = await self._budget.exhausted()
        if not waits:
            return claims
        deferred = await self._queue.defer(claims, waits)
        self._budget.deferred(len(deferred))
        return [claim for claim in claims if claim.item_id not in deferred]

    async def _isolate(self, claims: Sequence[Claim], error: Exception, embedding: anyio.Event) -> None:
        """Process the items of a failed batch one by one; an item that fails alone waits longer each time."""
        if len(claims) > 1:
            for claim in claims:
                await self._process([claim], embedding)
            return
        logger.error("An item cannot be indexed and will be tried again", exc_info=error)
        retry = min(timedelta(seconds=2 ** min(claims[0].attempts, 20)), LAST_ITEM_RETRY)
        await self._queue.fail(claims, type(error).__name__, retry)

    async def _project(self, claims: Sequence[Claim], embedding: anyio.Event) -> dict[UUID, int]:
        ids = {kind: [claim.item_id for claim in claims if claim.kind == kind] for kind in ITEM_KINDS}
        read = [await self._projector.read(kind, items) for kind, items in ids.items() if items]
        async with self._embedding:
            embedding.set()
            entries = {items.kind: await self._projector.complete_charged(items, self._budget) for items in read}
            await self._writing.acquire()
        states = {entry.item_id: entry.state for of_kind in entries.values() for entry in of_kind}
        try:
            for kind, of_kind in entries.items():
                await self._index.put(kind, of_kind)
                await self._index.drop(kind, [item for item in ids[kind] if item not in states])
                self._held.record(kind, {item: states.get(item) for item in ids[kind]})
        finally:
            self._writing.release()
        for kind in entries:
            await self._queue_neighbours(kind, [claim for claim in claims if claim.kind == kind])
        return {item: state.version for item, state in states.items()}

    async def _queue_neighbours(self, kind: ItemKind, claims: Sequence[Claim]) -> None:
        """Queue what these items were, are or have become neighbours of, as far as the index holds it differently.

        Batches that were claimed later read these items in their present state.
        """
        expected = await self._projector.rows(kind).around(
            [claim.item_id for claim in claims], [position for claim in claims for position in claim.former_positions]
        )
        later = {claim.item_id for batch in self._later_than(claims) for claim in batch if claim.kind == kind}
        affected = [item for item in expected if item not in later]
        held = await self._held.states(kind, affected)
        if differing := [item for item in affected if held.get(item) != expected[item]]:
            await self._queue.mark(kind, differing)

    def _later_than(self, claims: Sequence[Claim]) -> Sequence[Sequence[Claim]]:
        """Return the unfinished batches that were claimed after the one that has the first of these claims."""
        own = next(number for number, batch in enumerate(self._unfinished) if claims[0] in batch)
        return self._unfinished[own + 1 :]
