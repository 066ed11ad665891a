"""What the index process keeps of its points stays true when they change."""

import pytest

from memos_mcp.domain.index import Entry, IndexFilter, Span
from memos_mcp.qdrant.edge.contents import READ_AHEAD_POINTS
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.edge.shards import Shards
from memos_mcp.qdrant.edge.worker import HEADER, pack, unpack
from memos_mcp.qdrant.edge.worker_handle import put_request
from memos_mcp.qdrant.points import write_batches
from tests.qdrant.samples import SHAPE, entry, index_folder, item, search, vector

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")
NOW = IndexFilter("ours", not_expired_by={"expires_at": 100.0})


async def found(index: EdgeIndex, where: IndexFilter) -> set[int]:
    lanes = await search(index, "memory", "cat", vector("cat"), where, 10)
    return {match.item_id.int for match in (*lanes.dense, *lanes.bm25)}


def write(shards: Shards, entries: list[Entry]) -> None:
    for batch in write_batches(entries):
        request = put_request("memory", batch)
        frame = pack(request.arguments, request.vectors)
        arguments, floats = unpack(frame[: HEADER.size], frame[HEADER.size :])
        shards.put(**arguments, floats=floats)


async def test_the_passage_of_a_replaced_item_is_the_new_one() -> None:
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        await index.put("memory", [entry(1, "a cat")])
        before = await search(index, "memory", "cat", vector((1, 0)), OURS, 10)
        await index.put("memory", [entry(1, "a cat that sleeps", version=2)])
        after = await search(index, "memory", "cat", vector((1, 0)), OURS, 10)
        await index.close()
    assert [match.span for match in before.dense] == [Span(0, 5)]
    assert [match.span for match in after.dense] == [Span(0, 17)]


def test_what_results_need_is_read_ahead_after_a_start_and_kept_when_it_is_written() -> None:
    with index_folder() as folder:
        folder.mkdir()
        shards = Shards(folder, SHAPE.dimensions, 100)
        shards.create()
        write(shards, [entry(number, "a cat") for number in range(READ_AHEAD_POINTS + 5)])
        written = dict(shards._contents["memory"]._found)
        assert shards.all_read
        del shards  # only one can have the folder open
        started = Shards(folder, SHAPE.dimensions, 100)
        started.load()
        pages = 0
        while not started.all_read:
            started.read_ahead()
            pages += 1
        read = dict(started._contents["memory"]._found)
        write(started, [entry(1, "a cat that sleeps", version=2)])
        changed = started._contents["memory"]._found.values()
    assert len(written) == READ_AHEAD_POINTS + 5
    assert read == written
    assert pages == 4  # two of memories, and an empty one of tools and of tasks
    assert [point for point in changed if point.startswith(str(item(1)))] == [f"{item(1)} 0 17"]


async def test_a_deleted_item_is_found_again_once_it_is_back() -> None:
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        answers = []
        await index.put("memory", [entry(1, "a cat"), entry(2, "a cat")])
        answers.append(await found(index, OURS))
        await index.drop("memory", [item(1)])
        answers.append(await found(index, OURS))
        await index.put("memory", [entry(1, "a cat", version=2)])
        answers.append(await found(index, OURS))
        await index.close()
    assert answers == [{1, 2}, {2}, {1, 2}]


@pytest.mark.parametrize("reopened", [False, True], ids=["written", "reopened"])
async def test_an_expired_item_is_hidden_although_none_could_expire_before(*, reopened: bool) -> None:
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        await index.put("memory", [entry(1, "a cat")])
        assert await found(index, NOW) == {1}
        await index.put("memory", [entry(2, "a cat", numbers={"expires_at": 200.0})])
        assert await found(index, NOW) == {1, 2}
        await index.put("memory", [entry(3, "a cat", numbers={"expires_at": 50.0})])
        if reopened:
            await index.close()
            await index.open(SHAPE)
        assert await found(index, NOW) == {1, 2}
        await index.close()


@pytest.mark.parametrize("reopened", [False, True], ids=["written", "reopened"])
async def test_a_second_namespace_is_not_found_from_the_first(*, reopened: bool) -> None:
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        await index.put("memory", [entry(1, "a cat")])
        assert await found(index, OURS) == {1}
        await index.put("memory", [entry(2, "a cat", namespace="theirs")])
        if reopened:
            await index.close()
            await index.open(SHAPE)
        assert await found(index, OURS) == {1}
        assert await found(index, IndexFilter("theirs")) == {2}
        assert await found(index, IndexFilter("nobody's")) == set()
        await index.close()
