"""The contract of the `VectorIndex` port."""

from dataclasses import replace

import anyio
import pytest

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter, Passage, Span, VectorIndex, WeightedText
from tests.qdrant.samples import OTHER_SHAPE, SHAPE, bm25, dense, entry, item, search, vector, versions

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")


async def test_an_empty_index_answers_nothing(index: VectorIndex) -> None:
    lanes = await search(index, "memory", "anything", vector("x"), OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([], [])
    assert await versions(index, "memory") == {}


async def test_an_item_is_found_by_its_vector_and_by_its_words(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "the cat sat on a mat"), entry(2, "a dog ran home")])
    lanes = await search(index, "memory", "cats", vector((2, 0)), OURS, 10)
    assert dense(lanes) == [2, 1]
    assert lanes.dense[0].score == pytest.approx(1.0, abs=1e-4)
    assert bm25(lanes) == [1]
    assert lanes.bm25[0].score > 0


async def test_without_a_vector_only_words_are_asked(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "the cat")])
    lanes = await search(index, "memory", "cat", None, OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([], [1])


async def test_a_question_of_stop_words_and_signs_leaves_the_words_lane_empty(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "the cat")])
    for text in ("the of and", "?!", " "):
        lanes = await search(index, "memory", text, vector((1, 0)), OURS, 10)
        assert (dense(lanes), bm25(lanes)) == ([1], [])


async def test_rare_words_count_more_than_common_ones(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "deploy notes" if n else "deploy zebra") for n in range(20)])
    lanes = await search(index, "memory", "zebra deploy", None, OURS, 20)
    assert bm25(lanes)[0] == 0
    assert lanes.bm25[0].score > 2 * lanes.bm25[1].score


async def test_words_are_weighed_within_the_namespace(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "zebra deploy" if n == 1 else "deploy") for n in range(1, 20)])
    before = (await search(index, "memory", "zebra", None, OURS, 5)).bm25[0].score
    await index.put("memory", [entry(n, "zebra", namespace="theirs") for n in range(100, 140)])
    after = (await search(index, "memory", "zebra", None, OURS, 5)).bm25[0].score
    assert after == pytest.approx(before, rel=1e-4)


async def test_kinds_do_not_mix(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.put("tool", [entry(2, "cat")])
    assert bm25(await search(index, "memory", "cat", None, OURS, 10)) == [1]
    assert dense(await search(index, "tool", "cat", vector((1, 0)), OURS, 10)) == [2]
    assert await versions(index, "tool") == {item(2): 1}


async def test_namespaces_do_not_mix(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat", namespace="theirs"), entry(2, "cat")])
    lanes = await search(index, "memory", "cat", vector((1, 0)), OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([2], [2])


async def test_an_item_appears_once_with_its_best_passage(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "red apple", "green pear", "blue plum"), entry(2, "pear")])
    lanes = await search(index, "memory", "green pear", vector((1, 1)), OURS, 10)
    assert dense(lanes) == [1, 2]
    assert lanes.dense[0].span == Span(10, 20)
    assert sorted(bm25(lanes)) == [1, 2]
    assert next(match.span for match in lanes.bm25 if match.item_id == item(1)) == Span(10, 20)


async def test_a_word_counts_where_it_counts_most(index: VectorIndex) -> None:
    near = [WeightedText("dog"), WeightedText("cat bird", 0.5), WeightedText("bird", 0.25)]
    await index.put("memory", [entry(1, "cat"), replace(entry(2), passages=[Passage(Span(0, 3), vector("x"), near)])])
    cats = (await search(index, "memory", "cat", None, OURS, 5)).bm25
    assert [match.item_id for match in cats] == [item(1), item(2)]
    assert 0.3 < cats[1].score / cats[0].score < 0.7
    assert bm25(await search(index, "memory", "bird", None, OURS, 5)) == [2]


async def test_the_parts_of_a_compound_word_are_found_and_it_finds_them(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "class HTMLThemeFactory"), entry(2, "a theme"), entry(3, "a cat")])
    assert sorted(bm25(await search(index, "memory", "theme", None, OURS, 5))) == [1, 2]
    assert bm25(await search(index, "memory", "HTMLThemeFactory", None, OURS, 5)) == [1, 2]


async def test_every_word_asked_for_must_be_there(index: VectorIndex) -> None:
    await index.put(
        "memory",
        [
            entry(1, "cat", words={"tags": ["a", "b"], "kind": ["episodic"]}),
            entry(2, "cat", words={"tags": ["a"]}),
            entry(3, "cat"),
        ],
    )
    for where, found in (
        (IndexFilter("ours", has_all={"tags": ["a"]}), [1, 2]),
        (IndexFilter("ours", has_all={"tags": ["a", "b"]}), [1]),
        (IndexFilter("ours", has_all={"tags": ["a"], "kind": ["episodic"]}), [1]),
        (IndexFilter("ours", has_all={"tags": ["A"]}), []),
    ):
        lanes = await search(index, "memory", "cat", vector("x"), where, 10)
        assert (sorted(dense(lanes)), sorted(bm25(lanes))) == (found, found)


async def test_words_outside_the_allowed_ones_exclude_an_item(index: VectorIndex) -> None:
    await index.put(
        "tool",
        [
            entry(1, "cat", words={"required_capabilities": ["net"]}),
            entry(2, "cat", words={"required_capabilities": ["net", "gpu"]}),
            entry(3, "cat", words={"required_capabilities": []}),
            entry(4, "cat"),
        ],
    )
    for allowed, found in ((["net", "gpu", "x"], [1, 2, 3, 4]), (["net"], [1, 3, 4]), ([], [3, 4])):
        where = IndexFilter("ours", subset_of={"required_capabilities": allowed})
        lanes = await search(index, "tool", "cat", vector("x"), where, 10)
        assert (sorted(dense(lanes)), sorted(bm25(lanes))) == (found, found)


async def test_numbers_are_bounded_and_only_an_expiry_bound_admits_a_missing_one(index: VectorIndex) -> None:
    await index.put(
        "memory",
        [entry(n, "cat", numbers={"occurred_at": n / 2, "expires_at": n * 1e9}) for n in (1, 2, 3)] + [entry(4, "cat")],
    )
    for where, found in (
        (IndexFilter("ours", at_least={"occurred_at": 1.0}), [2, 3]),
        (IndexFilter("ours", at_most={"occurred_at": 1.0}), [1, 2]),
        (IndexFilter("ours", at_least={"occurred_at": 0.6}, at_most={"occurred_at": 1.4}), [2]),
        (IndexFilter("ours", not_expired_by={"expires_at": 2e9}), [3, 4]),
    ):
        lanes = await search(index, "memory", "cat", vector("x"), where, 10)
        assert (sorted(dense(lanes)), sorted(bm25(lanes))) == (found, found)


async def test_filters_apply_before_the_nearest_are_taken(index: VectorIndex) -> None:
    near = [entry(n, "cat cat cat", words={"tags": ["common"]}) for n in range(50)]
    await index.put("memory", [*near, entry(99, "a cat among so many other words", words={"tags": ["rare"]})])
    lanes = await search(index, "memory", "cat", vector((1, 0)), IndexFilter("ours", has_all={"tags": ["rare"]}), 1)
    assert (dense(lanes), bm25(lanes)) == ([99], [99])


async def test_a_put_replaces_all_that_was_held_of_an_item(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "red", "green", "blue", words={"tags": ["old"]}), entry(2, "blue")])
    await index.put("memory", [entry(1, "yellow", version=2)])
    assert bm25(await search(index, "memory", "red green blue", None, OURS, 10)) == [2]
    assert bm25(await search(index, "memory", "yellow", None, OURS, 10)) == [1]
    assert (
        dense(await search(index, "memory", "x", vector("x"), IndexFilter("ours", has_all={"tags": ["old"]}), 10)) == []
    )
    assert await versions(index, "memory") == {item(1): 2, item(2): 1}
    assert (await index.report()).points == {"memory": 2, "tool": 0, "task": 0}


async def test_a_repeated_put_changes_nothing(index: VectorIndex) -> None:
    for _ in range(3):
        await index.put("memory", [entry(1, "red", "green"), entry(2, "blue")])
    report = await index.report()
    assert (report.items, report.points) == ({"memory": 2, "tool": 0, "task": 0}, {"memory": 3, "tool": 0, "task": 0})


async def test_an_item_that_became_empty_is_no_longer_held(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "red", "green")])
    await index.put("memory", [replace(entry(1, version=2), passages=[])])
    assert await versions(index, "memory") == {}


async def test_a_text_without_words_is_still_found_by_its_vector(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "?!"), entry(2, "the")])
    lanes = await search(index, "memory", "the ?!", vector((1, 0)), OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([1, 2], [])


async def test_dropped_items_are_deleted_and_unknown_ones_are_no_error(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat", "dog"), entry(2, "cat")])
    await index.drop("memory", [item(1), item(77)])
    await index.drop("memory", [])
    assert await versions(index, "memory") == {item(2): 1}
    assert bm25(await search(index, "memory", "cat dog", None, OURS, 10)) == [2]


async def test_more_items_than_a_page_are_counted_once_each(index: VectorIndex) -> None:
    await index.put("memory", [entry(n, "cat", "dog", version=n + 1) for n in range(1_100)])
    assert await versions(index, "memory") == {item(n): n + 1 for n in range(1_100)}
    report = await index.report()
    assert (report.items["memory"], report.points["memory"]) == (1_100, 2_200)


async def test_searches_are_answered_while_others_write(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    answers: list[list[int]] = []

    async def ask() -> None:
        answers.extend([bm25(await search(index, "memory", "cat", vector((1, 0)), OURS, 1)) for _ in range(20)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        for start in (100, 300, 500):
            tasks.start_soon(index.put, "memory", [entry(n, "dog") for n in range(start, start + 150)])
    assert answers == [[1]] * 20
    assert len(await versions(index, "memory")) == 451


async def test_a_cancelled_search_does_not_disturb_the_next_one(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat"), entry(2, "dog")])
    for _ in range(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(search, index, "memory", "cat", vector((1, 0)), OURS, 1)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert bm25(await search(index, "memory", "dog", None, OURS, 1)) == [2]


async def test_a_draft_is_searched_once_it_is_committed_and_not_before(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    draft = await index.draft(SHAPE)
    await draft.put("memory", [entry(2, "cat")])
    before = await index.report()
    assert bm25(await search(index, "memory", "cat", None, OURS, 10)) == [1]
    await draft.commit()
    assert bm25(await search(index, "memory", "cat", vector((2, 0)), OURS, 10)) == [2]
    assert await versions(index, "memory") == {item(2): 1}
    assert (await index.report()).generation != before.generation


async def test_a_discarded_draft_leaves_everything_as_it_was(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    before = await index.report()
    draft = await index.draft(SHAPE)
    await draft.put("memory", [entry(2, "cat")])
    await draft.discard()
    await draft.discard()
    assert bm25(await search(index, "memory", "cat", None, OURS, 10)) == [1]
    assert await index.report() == before
    with pytest.raises(IndexUnavailable):
        await draft.commit()


async def test_another_shape_leaves_words_searchable_until_a_draft_replaces_it(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.close()
    await index.open(OTHER_SHAPE)
    assert index.outdated
    lanes = await search(index, "memory", "cat", vector("x", OTHER_SHAPE.dimensions), OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([], [1])
    with pytest.raises(IndexUnavailable):
        await index.put("memory", [entry(2, "dog", dimensions=OTHER_SHAPE.dimensions)])
    draft = await index.draft(OTHER_SHAPE)
    await draft.put("memory", [entry(1, "cat", dimensions=OTHER_SHAPE.dimensions)])
    await draft.commit()
    assert not index.outdated
    lanes = await search(index, "memory", "cat", vector((1, 0), OTHER_SHAPE.dimensions), OURS, 10)
    assert (dense(lanes), bm25(lanes)) == ([1], [1])
    assert (await index.report()).shape == OTHER_SHAPE


async def test_what_was_put_is_there_after_closing_and_opening(index: VectorIndex) -> None:
    await index.put("memory", [entry(1, "cat", version=7)])
    before = await index.report()
    await index.close()
    await index.open(SHAPE)
    await index.open(SHAPE)
    assert await index.report() == before
    assert await versions(index, "memory") == {item(1): 7}


async def test_a_closed_index_is_unavailable(index: VectorIndex) -> None:
    await index.close()
    await index.close()
    for call in (
        search(index, "memory", "cat", None, OURS, 1),
        index.put("memory", [entry(1)]),
        index.drop("memory", [item(1)]),
        versions(index, "memory"),
        index.report(),
        index.wants_graph(),
        index.draft(SHAPE),
        index.copy(),
    ):
        with pytest.raises(IndexUnavailable):
            await call
