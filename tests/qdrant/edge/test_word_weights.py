"""A word weighs the same whether its namespace is alone in the embedded index or not."""

from pathlib import Path

import pytest

from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant.edge.index import EdgeIndex
from tests.qdrant.samples import SHAPE, entry, index_folder, item, search, vector

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")
TEXTS = [f"common word{number % 7} rare{number}" for number in range(150)]


async def scores(index: EdgeIndex, text: str) -> dict[int, float]:
    lanes = await search(index, "memory", text, vector("x"), OURS, 200)
    return {match.item_id.int: match.score for match in lanes.bm25}


async def changed(folder: Path, *, others: bool) -> EdgeIndex:
    """Return an index after puts, replacements and deletions around a new graph, with another namespace or without."""
    index = EdgeIndex(folder, hnsw_threshold=100)
    await index.open(SHAPE)
    theirs = [entry(1_000 + number, "common rare3 word5", namespace="theirs") for number in range(90 if others else 0)]
    await index.put("memory", theirs)
    await index.put("memory", [entry(number, text) for number, text in enumerate(TEXTS)])
    draft = await index.draft(SHAPE)
    await draft.put("memory", theirs)
    await draft.put("memory", [entry(number, text) for number, text in enumerate(TEXTS)])
    await draft.commit()
    await index.put("memory", [entry(number, "word5 fresh", version=2) for number in range(0, 150, 3)])
    await index.drop("memory", [item(number) for number in range(1, 150, 5)])
    return index


@pytest.mark.parametrize("reopened", [False, True], ids=["written", "reopened"])
async def test_scores_do_not_depend_on_another_namespace_after_changes(*, reopened: bool) -> None:
    found = []
    for others in (False, True):
        with index_folder() as folder:
            index = await changed(folder, others=others)
            if reopened:
                await index.close()
                await index.open(SHAPE)
            found.append([await scores(index, text) for text in ("common", "word5", "rare7 word2", "fresh")])
            await index.close()
    alone, together = found
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
