"""The index on a Qdrant server or cluster, version 1.19 or later, which many processes can share.

Each generation has one collection per kind, `<prefix>_<kind>_<generation>`, with its shape in the metadata. Searches
and writes use the alias `<prefix>_<kind>`, so other processes follow a swap without a message.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import (
    ALL_ITEMS,
    Entry,
    IndexFilter,
    IndexQuery,
    IndexReport,
    ItemKind,
    ItemState,
    Lanes,
    SequenceRange,
    SettingMismatch,
    Shape,
)
from memos_mcp.qdrant.lanes import LaneCompletion, comparable, numbered, to_lanes
from memos_mcp.qdrant.points import CLOSED, OUTDATED, StateScan
from memos_mcp.qdrant.server.collections import Collections, ServerGeneration
from memos_mcp.qdrant.server.options import DEFAULT_OPTIONS, ServerOptions

if TYPE_CHECKING:  # importing qdrant_client takes 1.5 s
    from qdrant_client import AsyncQdrantClient

    from memos_mcp.qdrant.server.client import ServerClient


MIN_VERSION: Final = 1, 19
"""The first version with `params.idf` (https://qdrant.tech/blog/qdrant-1.19.x); older ones ignore it silently, so that
other namespaces change the scores."""

TOO_OLD: Final = (
    "The Qdrant server has version {found}, but 1.19 or newer is needed. "
    "Upgrade the server that MEMOS_QDRANT_URL names, or unset the variable to use the embedded index."
)


class ServerIndex:
    """The `VectorIndex` port on a Qdrant server. A client that is passed in is closed by the caller."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        prefix: str,
        client: "AsyncQdrantClient | None" = None,
        options: ServerOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._prefix = prefix
        self._client = client
        self._options = options
        self._change = anyio.Lock()
        self._writing = anyio.Lock()
        self._collections: Collections | None = None
        self._wanted: Shape | None = None
        self._current: ServerGeneration | None = None

    @property
    def exclusive(self) -> bool:
        return False

    @property
    def outdated(self) -> bool:
        return self._current is not None and self._current.shape != self._wanted

    @property
    def shape(self) -> Shape | None:
        return None if self._current is None else self._current.shape

    @property
    def generation(self) -> str | None:
        return None if self._current is None else self._current.name

    async def open(self, shape: Shape) -> None:
        """Open the generation that the aliases name, or create an empty one."""
        async with self._change:
            collections = await self._connected()
            await self._check_version(collections)
            found = await collections.find()
            if found is None:
                found = await collections.create(shape)
                await collections.make_current(found)
            self._wanted, self._current = shape, found

    async def wants_graph(self) -> bool:
        """Return False: a server builds its graph itself as points are added."""
        self._opened()
        return False

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        collections = self._opened()
        if self.outdated:
            raise IndexUnavailable(OUTDATED)
        async with self._writing:
            await collections.write(kind, collections.alias(kind), entries)

    async def drop(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None:
        collections = self._opened()
        if item_ids:
            async with self._writing:
                await collections.client.delete(collections.alias(kind), item_ids)

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        collections = self._opened()
        client, alias = collections.client, collections.alias(kind)
        completion = LaneCompletion(client.question_vectors(questions, dense=self._comparable(questions)), limit)
        while completion.batch:
            completion.receive(await client.nearest(alias, completion.batch, where))
        return to_lanes(numbered(completion.answers))

    async def states(self, kind: ItemKind, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        scan = StateScan()
        collections = self._opened()
        async for rows in collections.client.rows(collections.alias(kind), of):
            scan.add(rows)
        return scan.states()

    async def count(self, kind: ItemKind, of: SequenceRange) -> int:
        collections = self._opened()
        return await collections.client.count(collections.alias(kind), of)

    async def draft(self, shape: Shape) -> "ServerDraft":
        collections = self._opened()
        await collections.remove_leftovers()
        return ServerDraft(collections, await collections.create(shape), self._adopt)

    async def copy(self) -> "ServerDraft":
        raise IndexUnavailable("A Qdrant server builds its graph itself.")

    async def restore(self) -> None:
        if self.outdated:
            kept = await self._opened().find_previous()
            if kept is not None and kept.shape == self._wanted:
                await self._adopt(kept)

    async def prune(self) -> bool:
        async with self._change:
            return await (await self._connected()).prune()

    async def report(self) -> IndexReport:
        collections = self._opened()
        found = await collections.find()
        if found is None:
            raise IndexUnavailable(CLOSED)
        items, points = {}, {}
        mismatches: list[SettingMismatch] = []
        for kind, collection in found.collections.items():
            items[kind] = await collections.client.count(collection, ALL_ITEMS, first_passages_only=True)
            points[kind] = await collections.client.count(collection, ALL_ITEMS)
            mismatches += await collections.client.mismatches(kind, collection)
        return IndexReport(found.name, found.shape, items, points, mismatches)

    async def close(self) -> None:
        async with self._change:
            collections, self._collections, self._current = self._collections, None, None
            if collections is not None and self._client is None:
                with anyio.CancelScope(shield=True):
                    await collections.client.close()

    def _comparable(self, questions: Sequence[IndexQuery]) -> bool:
        models = [question.model for question in questions]
        return self._current is not None and comparable(models, self._wanted, self._current.shape)

    async def _adopt(self, generation: ServerGeneration) -> None:
        """Make the aliases name this generation. Keep the one before if it is of another shape, else remove it."""
        async with self._change:
            collections = self._opened()
            old, kept = await collections.find(), await collections.find_previous()
            with anyio.CancelScope(shield=True):
                async with self._writing:
                    previous = old if old is not None and old.shape != generation.shape else None
                    await collections.make_current(generation, previous)
                    self._current = generation
                for unneeded in (old, kept):
                    if unneeded is not None:  # an alias protects those that are kept
                        await collections.remove(unneeded)

    async def _check_version(self, collections: Collections) -> None:
        """Refuse a server that ignores what a search asks for, and answers with other scores."""
        version = await collections.client.version()
        numbers = re.match(r"(\d+)\.(\d+)(\.\d+)?", version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) < MIN_VERSION:
            self._current = None
            raise IndexUnavailable(TOO_OLD.format(found=numbers[0] if numbers else "unknown"))

    async def _connected(self) -> Collections:
        if self._collections is None:
            self._collections = Collections(await run_sync(self._connect), self._prefix)
        return self._collections

    def _connect(self) -> "ServerClient":
        from memos_mcp.qdrant.server.client import ServerClient, connect

        if self._client is not None:
            return ServerClient([self._client], self._options)
        return connect(self._url, self._api_key, self._options)

    def _opened(self) -> Collections:
        if self._collections is None or self._current is None:
            raise IndexUnavailable(CLOSED)
        return self._collections


class ServerDraft:
    """The `Draft` port: a generation whose collections no alias names yet."""

    def __init__(
        self,
        collections: Collections,
        generation: ServerGeneration,
        adopt: Callable[[ServerGeneration], Awaitable[None]],
    ) -> None:
        self._collections = collections
        self._generation = generation
        self._adopt = adopt
        self._closed = False

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        self._check()
        await self._collections.write(kind, self._generation.collections[kind], entries)

    async def commit(self) -> None:
        """Swap the aliases. Until the server has built its graph, answers are correct but slower."""
        self._check()
        try:
            await self._adopt(self._generation)
        except BaseException:
            await self.discard()
            raise
        self._closed = True

    async def discard(self) -> None:
        if not self._closed:
            self._closed = True
            await self._collections.remove(self._generation)

    def _check(self) -> None:
        if self._closed:
            raise IndexUnavailable("The draft of the search index was given up. Start a new one.")
