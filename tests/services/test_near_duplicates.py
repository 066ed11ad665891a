"""What a store says about memories that are there already, on real stores."""

import pytest

from memos_mcp.app import App
from memos_mcp.domain.memory import NewMemory, Stored
from memos_mcp.domain.memory_changes import Selection
from memos_mcp.domain.scope import Scope
from tests.fakes import DownIndex

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")


async def store(app: App, content: str, scope: Scope = SCOPE, session_id: str | None = None) -> Stored:
    return await app.memories.store(scope, NewMemory(content, session_id=session_id))


async def test_a_store_names_the_memories_that_say_nearly_the_same(app: App) -> None:
    first = await store(app, "the ferry to the island leaves at noon on Sundays")
    await store(app, "tea is in the kitchen cupboard")
    stored = await store(app, "The ferry to the island leaves at noon on Sundays!")
    assert [(one.memory_id, one.content) for one in stored.similar] == [
        (first.memory_id, "the ferry to the island leaves at noon on Sundays")
    ]
    assert stored.similar[0].cosine > 0.99


async def test_at_most_three_are_named_nearest_first(app: App) -> None:
    for end in ("", "!", "!!", " today"):
        await store(app, f"the ferry to the island leaves at noon on every Sunday of the year{end}")
    stored = await store(app, "the ferry to the island leaves at noon on every Sunday of the year!!!")
    cosines = [one.cosine for one in stored.similar]
    assert len(cosines) == 3
    assert cosines == sorted(cosines, reverse=True)


async def test_the_same_content_another_namespace_and_a_forgotten_memory_are_not_named(app: App) -> None:
    await store(app, "the ferry leaves at noon!", session_id="monday")
    await store(app, "the ferry leaves at noon.", Scope("elsewhere", "tester"))
    forgotten = await store(app, "the ferry leaves at noon?")
    await app.memory_changes.forget(SCOPE, Selection([forgotten.memory_id]))
    assert (await store(app, "the ferry leaves at noon!", session_id="tuesday")).similar == []


async def test_neighbours_in_a_session_do_not_change_the_cosine(app: App) -> None:
    for number, content in enumerate(("good morning", "the ferry to the island leaves at noon", "thanks a lot")):
        await store(app, content, session_id=f"s{number // 3}")
    stored = await store(app, "the ferry to the island leaves at noon!", session_id="t")
    assert [one.cosine for one in stored.similar] == [1.0]


async def test_a_store_without_an_index_is_acknowledged_and_names_nothing(app: App, index: DownIndex) -> None:
    await store(app, "the ferry leaves at noon")
    index.down = True
    stored = await store(app, "the ferry leaves at noon!")
    assert (stored.created, stored.similar) == (True, ())


async def test_a_content_that_is_stored_already_names_nothing(app: App) -> None:
    await store(app, "the ferry leaves at noon!")
    await store(app, "the ferry leaves at noon")
    assert (await store(app, "the ferry leaves at noon")).similar == ()
