"""The index on a Qdrant server or cluster, version 1.16 or later, which many processes can share.

Each generation is a collection a kind, `<prefix>_<kind>_<generation>`, with what it was built for in its metadata;
every search and write asks the alias `<prefix>_<kind>`, so that other processes follow a swap without being told.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import ITEM_KINDS, Entry, IndexFilter, IndexQuery, IndexReport, ItemKind, Lanes, Shape
from memos_mcp.qdrant.points import (
    BM25,
    CLOSED,
    DENSE,
    FORMAT,
    MAX_CANDIDATE_POINTS,
    OUTDATED,
    Row,
    VersionScan,
    best_rows,
    left_out,
    matches,
    shares,
    write_batches,
)

if TYPE_CHECKING:  # qdrant_client, which is behind both, takes 1.5 s to import
    from qdrant_client import AsyncQdrantClient

    from memos_mcp.qdrant.server.client import Ask, ServerClient

logger = logging.getLogger(__name__)

LEFTOVER_SECONDS: Final = 86_400.0
"""How old a generation without an alias must be to count as given up, and not as another process's draft."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation's collections, and what it was built for."""

    name: str
    collections: Mapping[ItemKind, str]
    shape: Shape


class ServerIndex:
    """The `VectorIndex` port on a Qdrant server. A client that is passed in stays the caller's to close."""

    def __init__(self, url: str, api_key: str | None, prefix: str, client: "AsyncQdrantClient | None" = None) -> None:
        self._url = url
        self._api_key = api_key
        self._prefix = prefix
        self._client = client
        self._change = anyio.Lock()
        self._writing = anyio.Lock()
        self._server_client: ServerClient | None = None
        self._wanted: Shape | None = None
        self._current: Generation | None = None

    @property
    def exclusive(self) -> bool:
        """Whether only one process at a time can hold this index."""
        return False

    @property
    def outdated(self) -> bool:
        """Whether the current generation was built for another shape: it takes no `put` and has no dense lane."""
        return self._current is not None and self._current.shape != self._wanted

    @property
    def generation(self) -> str | None:
        """The name of the generation that answers now, None while none is open."""
        return None if self._current is None else self._current.name

    async def open(self, shape: Shape) -> None:
        """Find out what the aliases name now, or create an empty generation for them."""
        async with self._change:
            if self._server_client is None:
                self._server_client = await run_sync(_connect, self._url, self._api_key, self._client)
            found = await self._find(self._server_client)
            if found is None:
                found = await self._create(self._server_client, shape)
                await self._server_client.point_aliases(self._aliases(found))
            self._wanted, self._current = shape, found

    async def wants_rebuild(self) -> bool:
        """Return False: a server builds its graph itself, as points come."""
        self._connected()
        return False

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        """Store these items' passages in place of whatever the index held of them."""
        client = self._connected()
        if self.outdated:
            raise IndexUnavailable(OUTDATED)
        async with self._writing:
            await _write(client, kind, self._alias(kind), entries)

    async def drop(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None:
        client = self._connected()
        if item_ids:
            async with self._writing:
                await client.delete(self._alias(kind), item_ids)

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        """Return the lanes of each question: each proposes up to `limit` items, and all score what any proposed."""
        client, alias = self._connected(), self._alias(kind)
        asks = client.asks(questions, where, dense=not self.outdated)
        share = shares(len(questions), limit)
        limits = [share[ask.question] for ask in asks]
        proposed = await _nearest(client, alias, asks, limits)
        missing = left_out([ask.lane for ask in asks], proposed, limits)
        late = [replace(ask, among=items) for ask, items in zip(asks, missing, strict=True) if items]
        added = iter(await _nearest(client, alias, late, [len(ask.among) for ask in late]))
        lanes = {
            (ask.question, ask.lane): matches([*rows, *next(added)] if items else rows)
            for ask, rows, items in zip(asks, proposed, missing, strict=True)
        }
        return [Lanes(lanes.get((n, DENSE), ()), lanes.get((n, BM25), ())) for n in range(len(questions))]

    async def versions(self, kind: ItemKind) -> dict[UUID, int]:
        """Return every item the index holds, with the version it was indexed at; read page by page."""
        scan = VersionScan()
        async for rows in self._connected().rows(self._alias(kind)):
            scan.add(rows)
        return await run_sync(scan.versions)

    async def draft(self, shape: Shape) -> "ServerDraft":
        """Start a generation beside the current one. What the current one is given meanwhile is not in it."""
        client = self._connected()
        await self._remove_leftovers(client)
        return ServerDraft(client, await self._create(client, shape), self._adopt)

    async def report(self) -> IndexReport:
        client = self._connected()
        found = await self._find(client)
        if found is None:
            raise IndexUnavailable(CLOSED)
        items, points = {}, {}
        for kind, collection in found.collections.items():
            items[kind] = await client.count(collection, first_passages_only=True)
            points[kind] = await client.count(collection, first_passages_only=False)
        return IndexReport(found.name, found.shape, items, points)

    async def close(self) -> None:
        async with self._change:
            client, self._server_client, self._current = self._server_client, None, None
            if client is not None and self._client is None:
                with anyio.CancelScope(shield=True):
                    await client.close()

    async def _adopt(self, generation: Generation) -> None:
        """Let the aliases name this generation, in one step for both kinds, and remove the one before."""
        async with self._change:
            client = self._connected()
            old = await self._find(client)
            with anyio.CancelScope(shield=True):
                async with self._writing:
                    await client.point_aliases(self._aliases(generation))
                    self._current = generation
                if old is not None:
                    await _remove(client, old)

    def _connected(self) -> "ServerClient":
        if self._server_client is None or self._current is None:
            raise IndexUnavailable(CLOSED)
        return self._server_client

    def _alias(self, kind: ItemKind) -> str:
        return f"{self._prefix}_{kind}"

    def _aliases(self, generation: Generation) -> dict[str, str]:
        return {self._alias(kind): collection for kind, collection in generation.collections.items()}

    async def _find(self, client: "ServerClient") -> Generation | None:
        """Return the generation that the aliases name, if there is one that this version can read."""
        aliases = await client.aliases()
        if not all(self._alias(kind) in aliases for kind in ITEM_KINDS):
            return None
        collections = {kind: aliases[self._alias(kind)] for kind in ITEM_KINDS}
        about = await client.about(collections["memory"])
        if about.get("format") != FORMAT:
            return None
        shape = Shape(str(about["model"]), int(about["dimensions"]))
        return Generation(collections["memory"].rpartition("_")[2], collections, shape)

    async def _create(self, client: "ServerClient", shape: Shape) -> Generation:
        name = uuid4().hex[:12]
        generation = Generation(name, {kind: f"{self._alias(kind)}_{name}" for kind in ITEM_KINDS}, shape)
        about = {"format": FORMAT, "model": shape.model, "dimensions": shape.dimensions, "created": time.time()}
        try:
            for kind, collection in generation.collections.items():
                await client.create(collection, kind, shape, about)
        except BaseException:
            await _remove(client, generation)
            raise
        return generation

    async def _remove_leftovers(self, client: "ServerClient") -> None:
        """Remove what drafts that were never finished have left, if they are old enough to be nobody's."""
        named = set((await client.aliases()).values())
        ours = re.compile(rf"{re.escape(self._prefix)}_({'|'.join(ITEM_KINDS)})_[0-9a-f]{{12}}")
        for collection in await client.collections():
            if ours.fullmatch(collection) and collection not in named:
                created = (await client.about(collection)).get("created", 0.0)
                if time.time() - float(created) > LEFTOVER_SECONDS:
                    await client.delete_collection(collection)


class ServerDraft:
    """A generation that is built beside the current one, in collections that no alias names yet."""

    def __init__(
        self, client: "ServerClient", generation: Generation, adopt: Callable[[Generation], Awaitable[None]]
    ) -> None:
        self._server_client = client
        self._generation = generation
        self._adopt = adopt
        self._over = False

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        self._check()
        await _write(self._server_client, kind, self._generation.collections[kind], entries)

    async def commit(self) -> None:
        """Swap the aliases. The server may still be building its graph: answers are right, only slower until then."""
        self._check()
        try:
            await self._adopt(self._generation)
        except BaseException:
            await self.discard()
            raise
        self._over = True

    async def discard(self) -> None:
        if not self._over:
            self._over = True
            await _remove(self._server_client, self._generation)

    def _check(self) -> None:
        if self._over:
            raise IndexUnavailable("The draft of the search index was given up. Start a new one.")


def _connect(url: str, api_key: str | None, client: "AsyncQdrantClient | None") -> "ServerClient":
    from memos_mcp.qdrant.server.client import ServerClient, connect

    return connect(url, api_key) if client is None else ServerClient(client)


async def _nearest(client: "ServerClient", alias: str, asks: Sequence["Ask"], limits: Sequence[int]) -> list[list[Row]]:
    """Return, for each, the best point of each of up to its limit of items, best first.

    Twice as many points are asked for as long as several passages of one item leave too few items.
    """
    rows: list[list[Row]] = [[] for _ in asks]
    wanted = dict(enumerate(limits))
    while wanted:
        answers = await client.nearest(alias, [(asks[n], points) for n, points in wanted.items()])
        found = dict(zip(wanted, answers, strict=True))
        for n, points in found.items():
            rows[n] = best_rows(points, limits[n])
        wanted = {
            n: min(2 * wanted[n], MAX_CANDIDATE_POINTS)
            for n, points in found.items()
            if len(rows[n]) < limits[n] and len(points) == wanted[n] < MAX_CANDIDATE_POINTS
        }
    return rows


async def _write(client: "ServerClient", kind: ItemKind, collection: str, entries: Sequence[Entry]) -> None:
    for batch in write_batches(entries):
        if batch.points:
            await client.upsert(kind, collection, batch.points)
        for count, items in batch.ends.items():
            await client.delete(collection, items, from_passage=count)


async def _remove(client: "ServerClient", generation: Generation) -> None:
    """Remove a generation's collections, unless an alias names them: a swap may succeed without our hearing of it.

    What cannot be removed now is a leftover for a later draft to remove.
    """
    with anyio.CancelScope(shield=True):
        try:
            named = set((await client.aliases()).values())
            for collection in set(generation.collections.values()) - named:
                await client.delete_collection(collection)
        except IndexUnavailable:
            logger.warning("Collections that are no longer needed could not be removed yet")
