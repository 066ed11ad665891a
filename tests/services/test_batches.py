"""A long queue is indexed batch by batch, and the next batch is read while one is being written."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from memos_mcp.app import compose, running
from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Entry, ItemKind
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services import batches
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up, until

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
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
