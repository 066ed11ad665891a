"""A long queue is indexed batch by batch, and the next batch is read while one is being written."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from memos_mcp import app as composition
from memos_mcp.app import compose, running
from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Entry, ItemKind
from memos_mcp.domain.index_queue import Claim
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services import batches
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up, until

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
CYCLES = 100  # of the event loop: far more than a cancellation takes to arrive
HERONS = [NewMemory(f"heron number {number} was seen") for number in range(3 * batches.BATCH)]


class HeldIndex(EdgeIndex):
    """An index that holds the first batch until it is released, and then fails if it is `broken`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, hnsw_threshold=10_000)
        self.released = anyio.Event()
        self.broken = False
        self.sizes: list[int] = []

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        self.sizes.append(len(entries))
        await self.released.wait()
        if self.broken:
            raise IndexUnavailable("The index is broken.")
        await super().put(kind, entries)


class HeldQueue(PostgresIndexQueue):
    """A queue whose second claim is answered after the first one was released, and the indexer then cancelled."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.claimed = 0
        self.released = anyio.Event()

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]:
        claims = await super().claim(limit, lease)
        self.claimed += 1
        if self.claimed > 1:
            await self.released.wait()
            for _ in range(CYCLES):
                await anyio.lowlevel.checkpoint()
        return claims

    async def release(self, due: Sequence[Claim]) -> None:
        await super().release(due)
        self.released.set()


async def until_the_next_batch_is_read(index: HeldIndex, embedder: HashEmbedder) -> None:
    async def more_is_embedded_than_the_first_batch() -> bool:
        return bool(index.sizes) and embedder.passages_embedded > index.sizes[0]

    await until(more_is_embedded_than_the_first_batch)


async def test_the_next_batch_is_read_while_one_is_being_written(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    index = HeldIndex(tmp_path / "index")
    app = compose(Settings(home=tmp_path), database, index, embedder)
    await app.memories.store_many(SCOPE, HERONS)
    async with running(app):
        await until_the_next_batch_is_read(index, embedder)
        assert len(index.sizes) == 1
        index.released.set()
        await caught_up(app)
        assert (await app.index.report()).items["memory"] == len(HERONS)


async def test_a_batch_that_cannot_be_written_is_released_with_the_one_that_was_read_meanwhile(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    index = HeldIndex(tmp_path / "index")
    app = compose(Settings(home=tmp_path), database, index, embedder)
    await app.memories.store_many(SCOPE, HERONS)
    async with running(app):
        await until_the_next_batch_is_read(index, embedder)
        index.broken = True
        index.released.set()

        async def nothing_is_claimed() -> bool:
            return (await app.queue.state()).unclaimed == len(HERONS)

        await until(nothing_is_claimed)
        index.broken = False
        await caught_up(app)
        assert (await app.index.report()).items["memory"] == len(HERONS)


async def test_a_claim_that_is_answered_after_the_batch_before_it_failed_is_released(
    tmp_path: Path, database: Database, embedder: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, queue = HeldIndex(tmp_path / "index"), HeldQueue(database)
    monkeypatch.setattr(composition, "PostgresIndexQueue", lambda _database: queue)
    app = compose(Settings(home=tmp_path), database, index, embedder)
    await app.memories.store_many(SCOPE, HERONS)
    async with running(app):

        async def two_batches_are_claimed() -> bool:
            return queue.claimed == 2 and bool(index.sizes)

        await until(two_batches_are_claimed)
        index.broken = True
        index.released.set()

        async def nothing_is_claimed() -> bool:
            return (await app.queue.state()).unclaimed == len(HERONS)

        await until(nothing_is_claimed)
