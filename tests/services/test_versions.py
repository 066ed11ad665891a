"""Answers from the past, with superseded memories, with equal contents, by importance and by age, on real stores."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryFilter, MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.memory_changes import MemoryChange, Selection
from memos_mcp.domain.scope import Scope
from memos_mcp.retrieval import pagination
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def contents(page: MemoryPage) -> list[str]:
    return [hit.memory.content for hit in page.hits]


async def store(app: App, content: str, scope: Scope = SCOPE, **parts: Any) -> UUID:
    return (await app.memories.store(scope, replace(NewMemory(content), **parts))).memory_id


async def correct(app: App, memory_id: UUID, content: str) -> UUID:
    return (await app.memory_changes.update(SCOPE, MemoryChange(memory_id, content=content))).memory_id


async def test_the_past_is_answered_by_what_was_live_then(app: App) -> None:
    first = await store(app, "the office is in Lisbon")
    in_lisbon = now()
    second = await correct(app, first, "the office is in Porto")
    in_porto = now()
    await correct(app, second, "the office is in Faro")
    await store(app, "the office has a garden")
    for question in ("where is the office", None):
        query = MemoryQuery(question)
        assert contents(await app.memories.query(SCOPE, replace(query, as_of=in_lisbon))) == ["the office is in Lisbon"]
        assert contents(await app.memories.query(SCOPE, replace(query, as_of=in_porto))) == ["the office is in Porto"]
    assert contents(await app.memories.query(SCOPE, MemoryQuery(as_of=in_lisbon - DAY))) == []


async def test_a_superseded_memory_is_found_in_the_past_by_the_meaning_of_its_successor(app: App) -> None:
    old = await store(app, "rue Oberkampf 5")
    then = now()
    await correct(app, old, "the address is Torstrasse 1")
    page = await app.memories.query(SCOPE, MemoryQuery("what is the address", as_of=then))
    assert contents(page) == ["rue Oberkampf 5"]


async def test_a_memory_has_the_labels_of_then_in_the_past(app: App) -> None:
    expires = now() + DAY
    memory_id = await store(app, "tea", tags=["a"], metadata={"k": 1}, expires_at=expires)
    then = now()
    change = MemoryChange(
        memory_id, tags=["b"], metadata={"k": 2}, importance=0.9, kind="semantic", clear=["expires_at"]
    )
    await app.memory_changes.update(SCOPE, change)
    await app.memory_changes.update(SCOPE, MemoryChange(memory_id, tags=["c"]))
    for page in (
        await app.memories.query(SCOPE, MemoryQuery("tea", as_of=then)),
        await app.memories.query(SCOPE, MemoryQuery(as_of=then)),
        await app.memories.read(SCOPE, [memory_id], MemoryQuery(as_of=then)),
    ):
        (hit,) = page.hits
        assert (hit.memory.tags, hit.memory.metadata, hit.memory.importance) == (["a"], {"k": 1}, 0.5)
        assert (hit.memory.kind, hit.memory.expires_at) == ("episodic", expires)


async def test_what_is_forgotten_is_in_no_answer_about_the_past(app: App) -> None:
    old = await store(app, "the office is in Lisbon")
    then = now()
    new = await correct(app, old, "the office is in Porto")
    await app.memory_changes.forget(SCOPE, Selection([new]))
    assert contents(await app.memories.query(SCOPE, MemoryQuery("office", as_of=then))) == []
    assert contents(await app.memories.query(SCOPE, MemoryQuery("office", include_superseded=True))) == []


async def test_superseded_memories_are_included_on_request_with_their_chain(app: App) -> None:
    first = await store(app, "the office is in Lisbon")
    second = await correct(app, first, "the office is in Porto")
    third = await correct(app, second, "the office is in Faro")
    page = await app.memories.query(SCOPE, MemoryQuery("is the office in Lisbon", include_superseded=True))
    hits = {hit.memory.memory_id: hit for hit in page.hits}
    assert hits.keys() == {first, second, third}
    assert [memory.memory_id for memory in hits[third].earlier] == [first, second]
    assert (hits[first].memory.superseded_by, hits[first].earlier) == (second, ())
    listed = await app.memories.query(SCOPE, MemoryQuery(include_superseded=True))
    assert len(listed.hits) == listed.total == 3
    read = await app.memories.read(SCOPE, [first, third], MemoryQuery(include_superseded=True))
    assert [hit.memory.memory_id for hit in read.hits] == [first, third]
    assert (await app.memories.read(SCOPE, [first])).missing == [first]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (MemoryQuery("x", as_of=now(), include_superseded=True), "Leave out include_superseded"),
        (MemoryQuery(half_life_days=3), "half_life_days needs a query"),
        (MemoryQuery(as_of=datetime(2026, 1, 1)), "as_of has no time zone"),  # noqa: DTZ001 - that is what is refused
    ],
)
async def test_a_query_of_the_past_that_makes_no_sense_is_refused(app: App, query: MemoryQuery, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        await app.memories.query(SCOPE, query)


async def test_the_same_content_of_other_sessions_and_agents_comes_once_with_their_number(app: App) -> None:
    for session in ("monday", "tuesday", "friday"):
        await store(app, "deployed to production", session_id=session)
    await store(app, "deployed to production", Scope("here", "another"))
    await store(app, "deployed to production", Scope("elsewhere", "tester"))
    await store(app, "deployed to staging")
    first = await app.memories.query(SCOPE, MemoryQuery("deployed to production", limit=1))
    both = await app.memories.query(SCOPE, MemoryQuery("deployed to production"))
    assert [(hit.memory.content, hit.copies) for hit in both.hits] == [
        ("deployed to production", 3),
        ("deployed to staging", 0),
    ]
    cursor = pagination.encode(first.hits[-1].position, first.fingerprint)
    second = await app.memories.query(SCOPE, MemoryQuery("deployed to production", limit=1, cursor=cursor))
    assert contents(first) + contents(second) == contents(both)
    only = MemoryFilter(session_id="friday")
    assert contents(await app.memories.query(SCOPE, MemoryQuery("deployed", only))) == ["deployed to production"]


async def test_importance_decides_between_memories_that_fit_equally(app: App) -> None:
    for number, importance in enumerate((0.2, 0.9, 0.5)):
        await store(app, f"the ferry leaves at noon, note {number}", importance=importance)
    await store(app, "tea is in the kitchen", importance=1.0)
    page = await app.memories.query(SCOPE, MemoryQuery("when is the ferry at noon, note"))
    assert [hit.memory.importance for hit in page.hits] == [0.9, 0.5, 0.2, 1.0]
    assert page.hits[0].signals["importance"] == 0.008
    assert "importance" not in page.hits[1].signals


async def test_a_more_important_memory_beyond_the_page_is_read_and_comes_first(app: App) -> None:
    for number in range(8):
        await store(app, f"the ferry leaves at noon{'!' * number}", importance=1.0 if number == 7 else 0.5)
    page = await app.memories.query(SCOPE, MemoryQuery("the ferry leaves at noon", limit=1))
    assert [hit.memory.importance for hit in page.hits] == [1.0]


async def test_a_half_life_prefers_recent_memories_and_says_by_how_much(app: App) -> None:
    await store(app, "the ferry leaves at nine", occurred_at=now() - 20 * DAY)
    await store(app, "the ferry leaves at noon today", occurred_at=now())
    await caught_up(app)
    question = MemoryQuery("the ferry leaves at nine")
    assert contents(await app.memories.query(SCOPE, question))[0] == "the ferry leaves at nine"
    page = await app.memories.query(SCOPE, replace(question, half_life_days=10))
    assert contents(page)[0] == "the ferry leaves at noon today"
    assert [round(hit.signals["recency"], 2) for hit in page.hits] == [1.0, 0.25]


async def test_of_memories_that_fit_exactly_equally_the_newest_comes_first(app: App) -> None:
    for age in (3, 1, 2):
        await store(app, f"the ferry leaves at noon{'!' * age}", occurred_at=now() - age * DAY)
    page = await app.memories.query(SCOPE, MemoryQuery("the ferry leaves at noon"))
    assert [content.count("!") for content in contents(page)] == [1, 2, 3]
