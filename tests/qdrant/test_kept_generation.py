"""The generation of another model that is kept, in each kind of index."""

import pytest

from memos_mcp.domain.index import IndexFilter, IndexQuery, Shape, VectorIndex
from tests.qdrant.samples import OTHER_SHAPE, SHAPE, bm25, dense, entry, item, search, vector, versions

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")
THIRD_SHAPE = Shape("a-third-model", 8)


async def build(index: VectorIndex, shape: Shape, number: int) -> None:
    """Start the index for this shape and build a generation with one item."""
    await reopen(index, shape)
    draft = await index.draft(shape)
    await draft.put("memory", [entry(number, "cat", dimensions=shape.dimensions)])
    await draft.commit()


async def reopen(index: VectorIndex, shape: Shape) -> None:
    await index.close()
    await index.open(shape)


async def test_an_outdated_generation_is_searched_with_vectors_of_its_own_model(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    await reopen(index, OTHER_SHAPE)
    assert index.shape == SHAPE
    [own] = await index.search("memory", [IndexQuery("dog", vector((1, 0)), SHAPE.model)], OURS, 10)
    others = IndexQuery("cat", vector((1, 0), OTHER_SHAPE.dimensions), OTHER_SHAPE.model)
    [foreign] = await index.search("memory", [others], OURS, 10)
    assert (dense(own), bm25(own)) == ([1], [])
    assert (dense(foreign), bm25(foreign)) == ([], [1])


async def test_a_return_to_the_model_before_makes_its_generation_current_again(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    first = index.generation
    await build(index, OTHER_SHAPE, 2)
    second = index.generation
    for shape, generation, number in ((SHAPE, first, 1), (OTHER_SHAPE, second, 2), (SHAPE, first, 1)):
        await reopen(index, shape)
        assert index.outdated
        await index.restore()
        assert (index.outdated, index.generation) == (False, generation)
        assert await versions(index, "memory") == {item(number): 1}
        assert dense(await search(index, "memory", "", vector((number, 0), shape.dimensions), OURS, 5)) == [number]
        await index.put("memory", [entry(number, "cat", dimensions=shape.dimensions)])


async def test_only_the_last_generation_of_another_model_is_kept(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    await build(index, OTHER_SHAPE, 2)
    await build(index, THIRD_SHAPE, 3)
    await reopen(index, SHAPE)
    await index.restore()
    assert index.outdated
    await reopen(index, OTHER_SHAPE)
    await index.restore()
    assert await versions(index, "memory") == {item(2): 1}


async def test_a_rebuild_for_the_same_model_keeps_the_generation_of_the_other_one(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    await build(index, OTHER_SHAPE, 2)
    await build(index, OTHER_SHAPE, 4)
    await reopen(index, SHAPE)
    await index.restore()
    assert await versions(index, "memory") == {item(1): 1}


async def test_pruning_removes_the_kept_generation_and_nothing_else(index: VectorIndex) -> None:
    assert not await index.prune()
    await index.put("memory", [entry(1, "cat")])
    assert not await index.prune()
    await build(index, OTHER_SHAPE, 2)
    assert await index.prune()
    assert not await index.prune()
    assert await versions(index, "memory") == {item(2): 1}
    await reopen(index, SHAPE)
    await index.restore()
    assert index.outdated
