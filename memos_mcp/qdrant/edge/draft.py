"""A generation of the embedded index while it is built, beside the one that is searched."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Entry, ItemKind
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.worker_handle import RunningGeneration, WorkerExited
from memos_mcp.qdrant.points import CLOSED

BUILD_SECONDS: Final = 3_600.0
"""Time limit of a build; 200,000 points of random directions took 111 s of processor time."""


class EdgeDraft:
    """The `Draft` port: a generation that is built in its own process of low priority."""

    def __init__(
        self,
        running: RunningGeneration,
        adopt: Callable[[Generation], Awaitable[None]],
        unregister: Callable[["EdgeDraft"], None],
    ) -> None:
        self._running = running
        self._adopt = adopt
        self._unregister = unregister
        self._closed = False

    @property
    def generation(self) -> Generation:
        """The generation that is being built."""
        return self._running.generation

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        await self._ask(self._running.worker.put(kind, entries, first=None, each=None))

    async def commit(self) -> None:
        """Build the graph and have a process of normal priority serve the generation. On failure the old one stays."""
        if self._closed:
            raise IndexUnavailable(CLOSED)
        try:
            with anyio.fail_after(BUILD_SECONDS):
                await self._ask(self._running.worker.request("build"))
            await self._running.worker.stop()
            await self._adopt(self.generation)
        except TimeoutError as error:
            await self.discard()
            raise IndexUnavailable("Building the search index took too long; the old one stays.") from error
        except BaseException:
            await self.discard()
            raise
        self._close()

    async def discard(self) -> None:
        if not self._closed:
            self._close()
            await self._running.discard()

    async def _ask(self, answer: Awaitable[object]) -> None:
        try:
            await answer
        except WorkerExited as error:
            raise IndexUnavailable("The draft of the search index was given up. Start a new one.") from error

    def _close(self) -> None:
        self._closed = True
        self._unregister(self)
