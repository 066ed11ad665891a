"""Messages of a session are indexed with their neighbours' words and blended vectors, without further inferences."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from memos_mcp.app import App
from memos_mcp.domain.memory import MemoryHit, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.retrieval.context import MAX_CHARS
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

INVITATION = "Shall we take the ferry to Bergen?"
ANSWER = "Yes, next Tuesday suits me"


def message(content: str, minute: float = 0, session: str | None = "talk") -> NewMemory:
    return NewMemory(content, session_id=session, occurred_at=NOON + timedelta(minutes=minute))


def talk(contents: Sequence[str]) -> list[NewMemory]:
    return [message(content, minute) for minute, content in enumerate(contents)]


async def found(app: App, question: str, scope: Scope = SCOPE) -> dict[str, MemoryHit]:
    """Return by its content, best first, what the index has for a question, once it has everything."""
    await caught_up(app)
    page = await app.memories.query(scope, MemoryQuery(question, limit=50))
    assert page.degraded is None
    return {hit.memory.content: hit for hit in page.hits}


async def by_words(app: App, question: str, scope: Scope = SCOPE) -> list[str]:
    """Return the contents of those in which the index has a word of the question."""
    return [content for content, hit in (await found(app, question, scope)).items() if "bm25" in hit.signals]


async def test_a_message_is_found_by_the_words_of_its_neighbours_and_ranked_below_them(app: App) -> None:
    before, after = "Good morning, how are you", "I will pack something warm then"
    await app.memories.store_many(SCOPE, talk([before, INVITATION, ANSWER, after, "Good night", "Sleep well too"]))
    assert (await by_words(app, "ferry Bergen"))[0] == INVITATION
    assert set(await by_words(app, "ferry Bergen")) == {before, INVITATION, ANSWER, after}


async def test_a_nearer_neighbour_is_ranked_above_a_further_one(app: App) -> None:
    further = "I would rather not get up so early"
    await app.memories.store_many(SCOPE, talk([INVITATION, ANSWER, further]))
    assert await by_words(app, "the ferry to Bergen") == [INVITATION, ANSWER, further]


async def test_a_message_has_no_neighbours_in_another_session_or_namespace(app: App) -> None:
    await app.memories.store_many(
        SCOPE, [message(ANSWER, 0), message(INVITATION, 1, "other"), message("Alone, at home", 1, None)]
    )
    await app.memories.store_many(Scope("elsewhere", "tester"), [message(f"{INVITATION} I asked", 1)])
    assert await by_words(app, "ferry to Bergen") == [INVITATION]


async def test_the_vector_of_a_message_is_blended_with_its_neighbours(app: App) -> None:
    await app.memories.store_many(SCOPE, [message(ANSWER, 0), message(f"{ANSWER} too", 0, None)])
    alone = (await found(app, INVITATION))[ANSWER].signals["dense"]
    await app.memories.store(SCOPE, message(INVITATION, -1))
    hits = await found(app, INVITATION)
    assert hits[ANSWER].signals["dense"] > alone + 0.05
    assert hits[f"{ANSWER} too"].signals["dense"] < alone + 0.01
    assert hits[INVITATION].signals["dense"] > 0.9


@pytest.mark.parametrize("minute", [-1, 1], ids=["before", "after"])
async def test_a_message_is_found_by_a_neighbour_that_is_stored_later(app: App, minute: int) -> None:
    await app.memories.store(SCOPE, message(ANSWER, 0))
    assert await by_words(app, "ferry to Bergen") == []
    await app.memories.store(SCOPE, message(INVITATION, minute))
    assert await by_words(app, "ferry to Bergen") == [INVITATION, ANSWER]


async def test_a_message_is_found_by_the_successor_of_a_superseded_neighbour(app: App) -> None:
    await app.memories.store(SCOPE, message(ANSWER, 0))
    asked = await app.memories.store(SCOPE, message(INVITATION, -1))
    instead = "Shall we take the train to Voss?"
    await app.memories.store(
        SCOPE,
        NewMemory(instead, session_id="talk", occurred_at=NOON - timedelta(minutes=1), supersedes=asked.memory_id),
    )
    assert await by_words(app, "ferry Bergen") == []
    assert await by_words(app, "train Voss") == [instead, ANSWER]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM agent_memories WHERE id = $1",
        "UPDATE agent_memories SET session_id = 'another' WHERE id = $1",
        "UPDATE agent_memories SET occurred_at = occurred_at + interval '1 hour' WHERE id = $1",
        "UPDATE agent_memories SET content = 'Shall we?' WHERE id = $1",
        "UPDATE agent_memories SET expires_at = now() + interval '1 hour' WHERE id = $1",
    ],
    ids=["deleted", "in another session", "at another time", "with other words", "expiring"],
)
async def test_a_message_is_not_found_by_a_former_neighbour(app: App, statement: str) -> None:
    asked = await app.memories.store(SCOPE, message(INVITATION, 0))
    await app.memories.store_many(SCOPE, [message(ANSWER, 1), message("Let me see", 2), message("It rains", 3)])
    assert ANSWER in await by_words(app, "ferry Bergen")
    async with app.database.everything.connection() as connection:
        await connection.execute(statement, asked.memory_id)
    assert ANSWER not in await by_words(app, "ferry Bergen")


async def test_messages_become_neighbours_when_the_one_in_between_is_deleted(app: App) -> None:
    await app.memories.store_many(SCOPE, talk([INVITATION, "Let me see", "It rains"]))
    between = await app.memories.store(SCOPE, message("Well", 1.5))
    await app.memories.store(SCOPE, message(ANSWER, 3))
    assert ANSWER not in await by_words(app, "ferry Bergen")
    async with app.database.everything.connection() as connection:
        await connection.execute("DELETE FROM agent_memories WHERE id = $1 OR content = 'It rains'", between.memory_id)
    assert ANSWER in await by_words(app, "ferry Bergen")


async def test_no_text_is_embedded_again_for_its_neighbours(app: App, embedder: HashEmbedder) -> None:
    long = " ".join(f"word{number}" for number in range(130))
    unwieldy = " ".join(f"module_{number:02}_of_a_very_long_name" for number in range(90))
    assert len(unwieldy) > MAX_CHARS
    for minute, content in enumerate([INVITATION, long, ANSWER, unwieldy, "It rains", "Let me see"]):
        await app.memories.store(SCOPE, message(content, minute))
    await app.memories.store(SCOPE, message("Good morning", 0.5))
    await caught_up(app)
    assert embedder.passages_embedded == (await app.index.report()).points["memory"] > 7
    await app.reindex(fresh=False)
    await caught_up(app)
    assert embedder.passages_embedded == (await app.doctor.diagnose()).computed


async def test_every_passage_of_a_long_message_has_neighbours_that_have_all_of_it(app: App) -> None:
    long_text = " ".join(
        [*(f"opening{number}" for number in range(60)), "a heron stood in the reeds", *(f"end{n}" for n in range(60))]
    )
    await app.memories.store_many(SCOPE, talk([INVITATION, long_text, ANSWER]))
    hit = (await found(app, "ferry to Bergen"))[long_text]
    assert (await app.index.report()).points["memory"] > 4
    assert "bm25" in hit.signals
    assert hit.span is not None
    assert await by_words(app, "opening3") == await by_words(app, "end55") == [long_text, INVITATION, ANSWER]
    shown = (await found(app, "heron stood in reeds"))[long_text].span
    assert shown is not None
    assert "heron" in long_text[shown.start : shown.end]


async def test_a_long_message_separates_its_neighbours_and_lends_them_no_words(app: App) -> None:
    long_text = " ".join(f"chapter{number}" for number in range(300))
    await app.memories.store_many(SCOPE, talk([INVITATION, long_text, ANSWER]))
    assert await by_words(app, "ferry to Bergen") == [INVITATION, long_text]
    assert await by_words(app, "chapter7 chapter290") == [long_text]
