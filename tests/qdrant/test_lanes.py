"""The adapters propose and score items in the lanes of one or several questions."""

from dataclasses import replace

import pytest

from memos_mcp.domain.index import Group, IndexFilter, IndexQuery, VectorIndex
from memos_mcp.qdrant.lanes import MIN_SHARE, shares
from tests.qdrant.samples import bm25, dense, entry, search, vector

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")


async def test_items_with_many_passages_do_not_crowd_out_others(index: VectorIndex) -> None:
    long = entry(1, *("pear" for _ in range(150)))
    await index.put("memory", [long, *(entry(n, "a pear and some more words here") for n in range(2, 6))])
    lanes = await search(index, "memory", "pear", vector((1, 0)), OURS, 5)
    assert sorted(dense(lanes)) == sorted(bm25(lanes)) == [1, 2, 3, 4, 5]


async def test_each_lane_proposes_at_most_the_limit_of_items(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "cat", "cat") for n in range(20)])
    lanes = await search(index, "memory", "cat", vector((3, 0)), OURS, 4)
    assert dense(lanes)[0] == 3
    assert 4 <= len(lanes.dense) == len(lanes.bm25) <= 8


async def test_what_one_lane_proposes_has_its_score_in_the_other(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "cat " * n + "dog") for n in range(1, 40)])
    lanes = await search(index, "memory", "cat", vector((1, 0)), OURS, 3)
    assert sorted(dense(lanes)) == sorted(bm25(lanes))
    assert bm25(lanes)[-1] == 1
    everything = await search(index, "memory", "cat", vector((1, 0)), OURS, 100)
    for lane, whole in ((lanes.dense, everything.dense), (lanes.bm25, everything.bm25)):
        scores = {match.item_id: match.score for match in whole}
        assert [match.score for match in lane] == pytest.approx([scores[match.item_id] for match in lane], abs=1e-5)


async def test_several_questions_are_answered_each_with_what_any_of_them_proposed(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "cat" if n % 2 else "dog") for n in range(40)])
    asked = [IndexQuery("cat", vector((3, 0))), IndexQuery("dog", vector((8, 0)))]
    cats, dogs = await index.search("memory", asked, OURS, 2)
    assert (dense(cats)[0], dense(dogs)[0]) == (3, 8)
    assert sorted(dense(cats)) == sorted(dense(dogs))
    assert {3, 8} <= set(dense(cats))
    assert {number % 2 for number in bm25(cats)} == {1}
    assert {number % 2 for number in bm25(dogs)} == {0}


async def test_the_questions_after_the_first_share_what_it_may_propose_alone(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, f"word{n}") for n in range(200)])
    first, *others = [IndexQuery("", vector((n, 0))) for n in (7, 50, 90, 130)]
    [alone] = await index.search("memory", [first], OURS, 60)
    assert len(alone.dense) == 60
    answers = await index.search("memory", [first, *others], OURS, 60)
    assert 60 < len(answers[0].dense) <= 60 + 3 * 20
    assert [dense(lanes)[0] for lanes in answers] == [7, 50, 90, 130]


def test_however_many_questions_there_are_each_may_propose_some() -> None:
    assert shares(1, 50) == [50]
    assert shares(2, 50) == [50, 50]
    assert shares(5, 400) == [400, 100, 100, 100, 100]
    assert shares(9, 50) == [50, *[MIN_SHARE] * 8]


async def test_a_match_names_the_file_that_it_is_a_part_of(index: VectorIndex) -> None:
    file = Group("file", "digest", "list todo")
    await index.put("memory", [replace(entry(1, "cat"), group=file), entry(2, "cat")])
    lanes = await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
    for lane in (lanes.dense, lanes.bm25):
        assert {match.item_id.int: match.group for match in lane} == {1: file, 2: None}
