"""The memory on real stores."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anyio
import pytest

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.memory import MemoryFilter, MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.retrieval import pagination
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")


def contents(page: MemoryPage) -> list[str]:
    return [hit.memory.content for hit in page.hits]


async def test_a_stored_memory_is_found_at_once_by_its_words(app: App) -> None:
    stored = await app.memories.store(SCOPE, NewMemory("The boiler key hangs behind the pantry shelf"))
    page = await app.memories.query(SCOPE, MemoryQuery("where is the boiler key"))
    assert stored.created
    assert stored.indexed
    assert contents(page) == ["The boiler key hangs behind the pantry shelf"]
    assert page.degraded is None
    assert set(page.hits[0].signals) == {"dense", "bm25"}


async def test_the_same_content_is_stored_once_in_a_session_and_again_in_another(app: App) -> None:
    first = await app.memories.store(SCOPE, NewMemory("deployed to production", session_id="monday"))
    again = await app.memories.store(SCOPE, NewMemory("deployed to production", session_id="monday"))
    other = await app.memories.store(SCOPE, NewMemory("deployed to production", session_id="tuesday"))
    assert (again.memory_id, again.created, again.indexed) == (first.memory_id, False, True)
    assert other.created
    assert other.memory_id != first.memory_id


async def test_another_namespace_can_neither_read_nor_supersede_a_memory(app: App) -> None:
    stored = await app.memories.store(SCOPE, NewMemory("the vault code is kept by Ada"))
    stranger = Scope("elsewhere", "tester")
    assert contents(await app.memories.query(stranger, MemoryQuery("vault code"))) == []
    assert contents(await app.memories.query(stranger, MemoryQuery())) == []
    with pytest.raises(NotFound):
        await app.memories.store(stranger, NewMemory("mine now", supersedes=stored.memory_id))


async def test_a_superseded_memory_is_in_no_search_or_listing(app: App) -> None:
    old = await app.memories.store(SCOPE, NewMemory("the office is in Lisbon"))
    await app.memories.store(SCOPE, NewMemory("the office is in Porto", supersedes=old.memory_id))
    assert contents(await app.memories.query(SCOPE, MemoryQuery("where is the office"))) == ["the office is in Porto"]
    assert contents(await app.memories.query(SCOPE, MemoryQuery())) == ["the office is in Porto"]


async def test_superseding_again_with_the_same_content_changes_nothing(app: App) -> None:
    old = await app.memories.store(SCOPE, NewMemory("the office is in Lisbon"))
    moved = NewMemory("the office is in Porto", supersedes=old.memory_id)
    first, again = await app.memories.store(SCOPE, moved), await app.memories.store(SCOPE, moved)
    assert (again.memory_id, again.created) == (first.memory_id, False)
    with pytest.raises(NotFound):
        await app.memories.store(SCOPE, NewMemory("the office is in Faro", supersedes=old.memory_id))


async def test_an_expired_memory_is_not_found_although_its_point_exists(app: App) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await app.memories.store(SCOPE, NewMemory("the parking pass is valid", expires_at=past))
    page = await app.memories.query(SCOPE, MemoryQuery("parking pass"))
    assert (contents(page), page.total, page.degraded) == ([], 0, None)


async def test_an_answer_is_filled_with_further_hits_when_the_best_rows_are_deleted(app: App) -> None:
    for number in range(12):
        await app.memories.store(SCOPE, NewMemory("lost parcel " * (12 - number) + f"number {number}"))
    best = await app.memories.query(SCOPE, MemoryQuery("lost parcel", limit=8))
    deleted = [hit.memory.memory_id for hit in best.hits]
    async with (
        app.database.everything.transaction() as connection
    ):  # the points stay: what would drop them is not queued
        await connection.execute("DELETE FROM agent_memories WHERE id = ANY ($1)", deleted)
        await connection.execute("DELETE FROM index_queue")
    page = await app.memories.query(SCOPE, MemoryQuery("lost parcel", limit=3))
    assert len(page.hits) == 3
    assert not set(deleted) & {hit.memory.memory_id for hit in page.hits}
    assert (page.total, page.more) == (4, True)


async def test_filters_apply_before_the_best_hits_are_selected(app: App) -> None:
    for number in range(60):
        await app.memories.store_many(SCOPE, [NewMemory(f"meeting notes number {number}", tags=["noise"])])
    wanted = NewMemory(
        "meeting notes of long ago, of another sort altogether, with many other words in them",
        kind="document",
        tags=["signal", "rare"],
        metadata={"path": "a/b.md", "lines": [1, 2.0]},
        session_id="s1",
        occurred_at=datetime(2020, 5, 1, tzinfo=UTC),
    )
    await app.memories.store(SCOPE, wanted)
    await caught_up(app)
    for asked in (
        MemoryFilter(kind="document"),
        MemoryFilter(tags=["rare", "signal"]),
        MemoryFilter(metadata={"lines": [2]}),
        MemoryFilter(session_id="s1"),
        MemoryFilter(until=datetime(2021, 1, 1, tzinfo=UTC)),
    ):
        page = await app.memories.query(SCOPE, MemoryQuery("meeting notes", asked, limit=1))
        assert contents(page) == [wanted.content], asked
        assert page.degraded is None


async def test_a_listing_continues_after_its_last_memory_when_new_ones_are_stored(app: App) -> None:
    for number in range(5):
        await app.memories.store(SCOPE, NewMemory(f"entry {number}"))
    first = await app.memories.query(SCOPE, MemoryQuery(limit=2))
    await app.memories.store(SCOPE, NewMemory("late entry"))
    where = pagination.encode(first.hits[-1].position, first.fingerprint)
    second = await app.memories.query(SCOPE, MemoryQuery(limit=10, cursor=where))
    assert contents(first) == ["entry 4", "entry 3"]
    assert (first.total, first.more) == (5, True)
    assert contents(second) == ["entry 2", "entry 1", "entry 0"]
    assert not second.more


async def test_a_search_continues_without_duplicates(app: App) -> None:
    trees = [NewMemory(f"apple tree {number} in row {number % 7}") for number in range(150)]
    await app.memories.store_many(SCOPE, trees)
    seen: list[str] = []
    totals: set[int] = set()
    where = None
    with anyio.fail_after(30):
        await caught_up(app)
        while True:
            page = await app.memories.query(SCOPE, MemoryQuery("apple tree row", limit=7, cursor=where))
            seen += contents(page)
            totals.add(page.total)
            if not page.more:
                break
            where = pagination.encode(page.hits[-1].position, page.fingerprint)
    assert totals == {len(seen)}
    assert len(set(seen)) == len(seen) >= 50


async def test_an_invalid_position_is_refused(app: App) -> None:
    await app.memories.store(SCOPE, NewMemory("a plum"))
    listing, search = MemoryQuery(), MemoryQuery("plum")
    for query in (listing, search):
        fingerprint = (await app.memories.query(SCOPE, query)).fingerprint
        for position in ((), (1,), ("x", 1), ("2026-01-01", "y"), (-1, 50), (0, 10**9), (10**6, 50), (1, 2, 3)):
            forged = replace(query, cursor=pagination.encode(position, fingerprint))
            with pytest.raises(Invalid, match="cursor"):
                await app.memories.query(SCOPE, forged)


async def test_a_cursor_of_another_question_is_refused(app: App) -> None:
    await app.memories.store_many(SCOPE, [NewMemory(f"pear {number}") for number in range(3)])
    page = await app.memories.query(SCOPE, MemoryQuery(limit=1))
    where = pagination.encode(page.hits[-1].position, page.fingerprint)
    for scope, query in (
        (SCOPE, MemoryQuery(filter=MemoryFilter(kind="document"), cursor=where)),
        (Scope("elsewhere", "tester"), MemoryQuery(cursor=where)),
        (SCOPE, MemoryQuery("pear", cursor=where)),
        (SCOPE, MemoryQuery(cursor=where[:-2])),
        (SCOPE, MemoryQuery(cursor="not a cursor")),
    ):
        with pytest.raises(Invalid, match="cursor"):
            await app.memories.query(scope, query)


async def test_a_long_text_is_several_passages_and_one_hit(app: App) -> None:
    filler = " ".join(f"filler{number}" for number in range(400))
    await app.memories.store(SCOPE, NewMemory(f"{filler} the zebra crossing was repainted {filler}"))
    page = await app.memories.query(SCOPE, MemoryQuery("zebra crossing repainted"))
    report = await app.index.report()
    [hit] = page.hits
    assert hit.span is not None
    assert "zebra crossing" in hit.memory.content[hit.span.start : hit.span.end]
    assert report.items["memory"] == 1
    assert report.points["memory"] > 10


async def test_min_score_leaves_out_weaker_matches(app: App) -> None:
    await app.memories.store(SCOPE, NewMemory("copper kettle on the stove"))
    await app.memories.store(SCOPE, NewMemory("annual report draft"))
    every = await app.memories.query(SCOPE, MemoryQuery("copper kettle stove"))
    best = await app.memories.query(SCOPE, MemoryQuery("copper kettle stove", min_score=0.5))
    assert len(every.hits) == 2
    assert contents(best) == ["copper kettle on the stove"]


async def test_a_refused_store_writes_nothing(app: App) -> None:
    for bad in (NewMemory("  \u200b "), NewMemory("a\x00b"), NewMemory("x", supersedes=uuid4())):
        with pytest.raises((Invalid, NotFound)):
            await app.memories.store(SCOPE, bad)
    assert (await app.memories.query(SCOPE, MemoryQuery())).total == 0
