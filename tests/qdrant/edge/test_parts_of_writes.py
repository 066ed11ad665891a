"""A write is sent to the index process in parts, the next one before the one before is answered."""

from collections.abc import AsyncIterator

import anyio
import pytest

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant import points
from memos_mcp.qdrant.edge.index import EdgeIndex
from tests.qdrant.samples import SHAPE, bm25, entry, index_folder, item, search, versions

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EdgeIndex]:
    monkeypatch.setattr(points, "WRITE_BATCH_BYTES", 1)  # a part for each passage
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        yield index
        await index.close()


async def test_the_parts_of_an_item_are_written_in_their_order(index: EdgeIndex) -> None:
    await index.put("memory", [entry(1, *map(str, range(30)), version=1)])
    await index.put("memory", [entry(1, *map(str, range(20)), version=2), entry(2, "heron", version=3)])
    assert await versions(index, "memory") == {item(1): 2, item(2): 3}


async def test_a_part_that_cannot_be_written_fails_the_write_and_nothing_after_it(index: EdgeIndex) -> None:
    short = entry(2, "osprey", dimensions=SHAPE.dimensions // 2)
    with pytest.raises(IndexUnavailable):
        await index.put("memory", [entry(1, "heron"), short, entry(3, "bittern"), entry(4, "egret")])
    await index.put("memory", [entry(5, "ibis")])
    assert bm25(await search(index, "memory", "ibis", None, OURS, 1)) == [5]
    assert (await versions(index, "memory")).keys() >= {item(1), item(5)}
    assert item(4) not in await versions(index, "memory")


async def test_requests_after_a_write_that_was_cancelled_between_its_parts_get_their_own_answers(
    index: EdgeIndex,
) -> None:
    writes = [entry(number, "heron") for number in range(1, 2_000)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(index.put, "memory", writes)
        while not (await index.report()).items["memory"]:
            pass
        tasks.cancel_scope.cancel()
    await index.put("memory", [entry(5_000, "ibis")])
    assert bm25(await search(index, "memory", "ibis", None, OURS, 1)) == [5_000]
    assert (await index.report()).items["memory"] < len(writes)
