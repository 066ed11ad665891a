"""A generation of the embedded index while it is built, beside the one that is searched."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Entry, ItemKind, Vector
from memos_mcp.qdrant.edge import generations as disk
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.worker_handle import RunningGeneration, WorkerExited
from memos_mcp.qdrant.points import CLOSED, write_batches

logger = logging.getLogger(__name__)

BUILD_SECONDS: Final = 3_600.0
"""When a build is given up; 60,000 points take half a minute on one core."""


class EdgeDraft:
    """A generation that is built beside the current one, in a process of its own with low priority."""

    def __init__(
        self,
        running: RunningGeneration,
        adopt: Callable[[Generation], Awaitable[None]],
        forget: Callable[["EdgeDraft"], None],
    ) -> None:
        self._running = running
        self._adopt = adopt
        self._forget = forget
        self._over = False

    @property
    def generation(self) -> Generation:
        """What is being built."""
        return self._running.generation

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        await write(self._ask, kind, entries)

    async def commit(self) -> None:
        """Build the graph, close, and have it served by a process of normal priority; else the old one stays."""
        if self._over:
            raise IndexUnavailable(CLOSED)
        try:
            with anyio.fail_after(BUILD_SECONDS):
                await self._ask("build")
            await self._running.host.stop()
            await self._adopt(self.generation)
        except TimeoutError as error:
            await self.discard()
            raise IndexUnavailable("Building the search index took too long; the old one stays.") from error
        except BaseException:
            await self.discard()
            raise
        self._end()

    async def discard(self) -> None:
        if not self._over:
            self._end()
            with anyio.CancelScope(shield=True):
                await self._running.host.kill()
                await remove(self.generation)

    async def _ask(self, operation: str, vectors: Sequence[Vector] = (), **arguments: Any) -> Any:
        try:
            return await self._running.host.ask(operation, vectors, **arguments)
        except WorkerExited as error:
            raise IndexUnavailable("The draft of the search index was given up. Start a new one.") from error

    def _end(self) -> None:
        self._over = True
        self._forget(self)


async def write(ask: Callable[..., Awaitable[Any]], kind: ItemKind, entries: Sequence[Entry]) -> None:
    """Write piece by piece, so that searches get their turn in between."""
    for batch in write_batches(entries):
        points = [(point.id, point.payload, point.weighted_texts) for point in batch.points]
        await ask("put", [point.vector for point in batch.points], kind=kind, points=points, ends=batch.ends)


async def remove(generation: Generation) -> None:
    """Remove a generation's folder, however the caller ends."""
    with anyio.CancelScope(shield=True):
        await run_sync(disk.remove, generation.path)


async def retire(old: RunningGeneration) -> None:
    """Stop and remove what was swapped out; the swap is done, so nothing here may undo it."""
    try:
        await old.host.stop()
    except Exception:
        logger.exception("The process of an old generation of the search index did not end cleanly")
    await remove(old.generation)
