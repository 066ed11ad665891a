"""Correcting, forgetting, erasing and restoring on real stores."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import anyio
import pytest

from memos_mcp.app import App
from memos_mcp.domain.erasures import Erasures
from memos_mcp.domain.errors import Conflict, Invalid, NotFound
from memos_mcp.domain.memory import MemoryFilter, MemoryQuery, NewMemory
from memos_mcp.domain.memory_changes import MemoryChange, Selection
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.postgres.database import Database
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester", Client("Desk", "1.2", "stdio"))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def store(app: App, content: str, scope: Scope = SCOPE, session_id: str | None = None) -> UUID:
    return (await app.memories.store(scope, NewMemory(content, session_id=session_id))).memory_id


async def contents(app: App, question: str | None = None) -> list[str]:
    return [hit.memory.content for hit in (await app.memories.query(SCOPE, MemoryQuery(question))).hits]


async def events(app: App, memory_id: UUID) -> list[str]:
    return [event.event for event in await app.memory_changes.history(SCOPE, memory_id)]


async def text_of_all_tables(database: Database) -> str:
    async with database.everything.connection() as connection:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        texts = [
            await connection.fetchval(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {row['tablename']} AS t")
            for row in names
        ]
    return "\n".join(texts)


async def test_a_change_of_labels_adds_merges_and_counts_as_a_version(app: App) -> None:
    new = NewMemory("tea at four", tags=["a"], metadata={"k": 1, "old": 2}, session_id="s", expires_at=NOON)
    new = replace(new, expires_at=datetime.now(UTC) + timedelta(days=1))
    memory_id = (await app.memories.store(SCOPE, new)).memory_id
    change = MemoryChange(memory_id, tags=["b", "a"], metadata={"old": None, "m": 3}, importance=0.9, kind="semantic")
    changed = await app.memory_changes.update(SCOPE, replace(change, clear=["session_id", "expires_at"], if_version=1))
    memory = (await app.memories.get(SCOPE, [memory_id]))[memory_id]
    assert (changed.memory_id, changed.version, changed.changed, changed.indexed) == (memory_id, 2, True, True)
    assert (memory.tags, memory.metadata, memory.importance) == (["a", "b"], {"k": 1, "m": 3}, 0.9)
    assert (memory.kind, memory.session_id, memory.expires_at, memory.version) == ("semantic", None, None, 2)


async def test_replaced_tags_and_metadata_are_the_only_ones(app: App) -> None:
    memory_id = (await app.memories.store(SCOPE, NewMemory("tea", tags=["a"], metadata={"k": 1}))).memory_id
    await app.memory_changes.update(SCOPE, MemoryChange(memory_id, tags=[], metadata={"n": None}, replace=True))
    memory = (await app.memories.get(SCOPE, [memory_id]))[memory_id]
    assert (memory.tags, memory.metadata) == ([], {"n": None})


async def test_a_change_to_the_same_changes_no_version_and_has_no_event(app: App) -> None:
    memory_id = (await app.memories.store(SCOPE, NewMemory("tea", tags=["a"]))).memory_id
    changed = await app.memory_changes.update(SCOPE, MemoryChange(memory_id, tags=["a"], content="tea"))
    assert (changed.version, changed.changed) == (1, False)
    assert await events(app, memory_id) == ["stored"]


async def test_new_content_is_a_new_memory_with_the_labels_of_the_old_one(app: App) -> None:
    new = NewMemory("the office is in Lisbon", "semantic", ["work"], {"k": 1}, 0.8, "s", NOON)
    old = (await app.memories.store(SCOPE, new)).memory_id
    changed = await app.memory_changes.update(SCOPE, MemoryChange(old, content="the office is in Porto"))
    assert changed.supersedes == old
    assert await contents(app) == ["the office is in Porto"]
    memory = (await app.memories.get(SCOPE, [changed.memory_id]))[changed.memory_id]
    assert (memory.kind, memory.tags, memory.metadata, memory.importance) == ("semantic", ["work"], {"k": 1}, 0.8)
    assert (memory.session_id, memory.occurred_at) == ("s", NOON)
    assert (await events(app, old), await events(app, changed.memory_id)) == (["stored", "superseded"], ["stored"])


async def test_a_repeated_correction_returns_what_the_first_one_stored(app: App) -> None:
    old = await store(app, "the office is in Lisbon")
    first = await app.memory_changes.update(SCOPE, MemoryChange(old, content="the office is in Porto"))
    again = await app.memory_changes.update(SCOPE, MemoryChange(old, content="the office is in Porto"))
    assert (again.memory_id, again.changed) == (first.memory_id, False)
    with pytest.raises(NotFound, match=f"Change {first.memory_id}, which replaced it"):
        await app.memory_changes.update(SCOPE, MemoryChange(old, tags=["x"]))


async def test_a_change_of_an_older_version_is_refused_and_changes_nothing(app: App) -> None:
    memory_id = await store(app, "tea")
    await app.memory_changes.update(SCOPE, MemoryChange(memory_id, importance=0.9))
    with pytest.raises(Conflict, match="version 2, not 1"):
        await app.memory_changes.update(SCOPE, MemoryChange(memory_id, content="coffee", if_version=1))
    assert await contents(app) == ["tea"]


async def test_two_concurrent_changes_of_one_version_change_it_once(app: App) -> None:
    memory_id = await store(app, "tea")
    outcomes: list[str] = []

    async def change(tag: str) -> None:
        try:
            await app.memory_changes.update(SCOPE, MemoryChange(memory_id, tags=[tag], if_version=1))
            outcomes.append("changed")
        except Conflict:
            outcomes.append("refused")

    async with anyio.create_task_group() as tasks:
        for tag in "abcd":
            tasks.start_soon(change, tag)
    assert sorted(outcomes) == ["changed", "refused", "refused", "refused"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (MemoryChange(UUID(int=1)), "Nothing to change"),
        (MemoryChange(UUID(int=1), session_id="s", clear=["session_id"]), "given and cleared at once"),
        (MemoryChange(UUID(int=1), content=" "), "content is empty"),
        (MemoryChange(UUID(int=1), tags=["x" * 129]), "an entry of tags has 129 characters"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(app: App, change: MemoryChange, message: str) -> None:
    with pytest.raises((Invalid, NotFound), match=message):
        await app.memory_changes.update(SCOPE, change)


async def test_a_move_to_a_session_with_the_same_content_names_that_memory(app: App) -> None:
    there = await store(app, "hello", session_id="s")
    here = await store(app, "hello")
    with pytest.raises(Invalid, match=f"same content as memory_id {there}"):
        await app.memory_changes.update(SCOPE, MemoryChange(here, session_id="s"))


async def test_another_namespace_can_change_nothing(app: App) -> None:
    memory_id = await store(app, "mine")
    stranger = Scope("elsewhere", "tester")
    with pytest.raises(NotFound):
        await app.memory_changes.update(stranger, MemoryChange(memory_id, tags=["x"]))
    forgotten = await app.memory_changes.erase(stranger, Selection([memory_id]))
    assert (list(forgotten.memory_ids), list(forgotten.missing)) == ([], [memory_id])
    assert await contents(app) == ["mine"]
    await app.memory_changes.forget(SCOPE, Selection([memory_id]))
    assert await app.memory_changes.restore(stranger, [memory_id]) == set()
    assert await app.memory_changes.history(stranger, memory_id) == []


async def test_what_is_forgotten_is_in_no_answer_and_comes_back_with_its_earlier_versions(app: App) -> None:
    old = await store(app, "the office is in Lisbon", session_id="s")
    await store(app, "lunch is at noon", session_id="s")
    new = (await app.memory_changes.update(SCOPE, MemoryChange(old, content="the office is in Porto"))).memory_id
    before = (await app.memories.get(SCOPE, [new]))[new]
    forgotten = await app.memory_changes.forget(SCOPE, Selection([new]))
    assert (list(forgotten.memory_ids), forgotten.earlier, forgotten.dropped) == ([new], 1, True)
    assert await contents(app) == ["lunch is at noon"]
    assert await contents(app, "where is the office") == ["lunch is at noon"]
    assert await app.memory_changes.restore(SCOPE, [new]) == {old, new}
    await caught_up(app)
    assert (await app.memories.get(SCOPE, [new]))[new] == before
    assert (await contents(app, "where is the office"))[0] == "the office is in Porto"
    assert await events(app, new) == ["stored", "forgotten", "restored"]


async def test_a_forgotten_memory_whose_content_was_stored_again_stays_forgotten(app: App) -> None:
    first = await store(app, "tea at four")
    await app.memory_changes.forget(SCOPE, Selection([first]))
    second = await store(app, "tea at four")
    assert second != first
    assert await app.memory_changes.restore(SCOPE, [first]) == set()
    assert await contents(app) == ["tea at four"]


async def test_a_filter_forgets_only_as_many_as_were_counted(app: App) -> None:
    for number in range(3):
        await store(app, f"message {number}", session_id="s")
    await store(app, "another", session_id="t")
    wanted = Selection(filter=MemoryFilter(session_id="s"))
    counted = await app.memory_changes.select(SCOPE, wanted)
    with pytest.raises(Invalid, match="dry_run=true"):
        await app.memory_changes.forget(SCOPE, wanted)
    await store(app, "message 3", session_id="s")
    with pytest.raises(Conflict, match="4 memories match, not 3"):
        await app.memory_changes.forget(SCOPE, wanted, expect=len(counted.memory_ids))
    assert len(await contents(app)) == 5
    await app.memory_changes.forget(SCOPE, wanted, expect=4)
    assert await contents(app) == ["another"]


@pytest.mark.parametrize(
    "selection", [Selection(), Selection([uuid4()], MemoryFilter(kind="document")), Selection(filter=MemoryFilter())]
)
async def test_ids_or_a_condition_must_be_given(app: App, selection: Selection) -> None:
    with pytest.raises(Invalid, match="either memory_ids or a filter"):
        await app.memory_changes.forget(SCOPE, selection, expect=0)


async def test_an_erased_memory_leaves_nothing_but_the_event(app: App, database: Database) -> None:
    new = NewMemory("the secret word is quixotic", tags=["zanzibar"], metadata={"note": "bergamot"}, session_id="s")
    old = (await app.memories.store(SCOPE, new)).memory_id
    await app.memory_changes.update(SCOPE, MemoryChange(old, tags=["xylophone"], metadata={"note": None}))
    changed = await app.memory_changes.update(SCOPE, MemoryChange(old, content="the secret word is marzipan"))
    await store(app, "what a day", session_id="s")
    await app.memory_changes.forget(SCOPE, Selection([changed.memory_id]))
    erased = await app.memory_changes.erase(SCOPE, Selection([changed.memory_id]))
    assert (list(erased.memory_ids), erased.earlier) == ([changed.memory_id], 1)
    await caught_up(app)
    everything = await text_of_all_tables(database)
    assert [word for word in ("quixotic", "marzipan", "zanzibar", "bergamot", "xylophone") if word in everything] == []
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM embeddings") == 1
    assert await events(app, old) == ["stored", "updated", "superseded", "forgotten", "erased"]
    assert await contents(app, "quixotic marzipan") == ["what a day"]
    assert await app.memory_changes.restore(SCOPE, [old, changed.memory_id]) == set()


async def test_erasing_a_long_text_deletes_the_vectors_of_other_models(app: App, database: Database) -> None:
    short, long = await store(app, "tea"), await store(app, "the ferry to the island " * 20)
    other = "INSERT INTO embeddings (model, content_hash, vector) VALUES ('other', '1', '1')"
    async with database.everything.connection() as connection:
        await connection.execute(other)
    await app.memory_changes.erase(SCOPE, Selection([short]))
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM embeddings WHERE model = 'other'") == 1
    await app.memory_changes.erase(SCOPE, Selection([long]))
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM embeddings") == 0


async def test_the_history_names_each_client_and_the_values_before(app: App) -> None:
    memory_id = (await app.memories.store(SCOPE, NewMemory("tea", tags=["a"]))).memory_id
    other = Scope("here", "other", Client("Pocket", "3", "sse"))
    await app.memory_changes.update(other, MemoryChange(memory_id, importance=0.9, tags=["b"]))
    await app.memories.store(other, NewMemory("coffee"))
    stored, updated = await app.memory_changes.history(SCOPE, memory_id)
    assert (stored.event, stored.agent_id, stored.client, stored.former) == ("stored", "tester", SCOPE.client, {})
    assert (updated.event, updated.agent_id, updated.client) == ("updated", "other", other.client)
    assert updated.former == {"importance": 0.5, "tags": ["a"]}
    assert stored.at < updated.at


async def test_the_same_content_with_new_labels_is_an_event(app: App) -> None:
    memory_id = await store(app, "tea")
    await app.memories.store(SCOPE, NewMemory("tea", tags=["a"]))
    await app.memories.store_many(SCOPE, [NewMemory("tea", tags=["b"]), NewMemory("cake")])
    merged = await app.memory_changes.history(SCOPE, memory_id)
    assert [(event.event, event.former) for event in merged] == [
        ("stored", {}),
        ("merged", {"tags": []}),
        ("merged", {"tags": ["a"]}),
    ]


async def test_old_events_are_deleted_except_that_a_memory_was_erased(app: App) -> None:
    kept, erased = await store(app, "tea"), await store(app, "coffee")
    await app.memory_changes.erase(SCOPE, Selection([erased]))
    with anyio.move_on_after(1):
        await app.memory_changes.keep_history(timedelta(days=1))
    assert await events(app, kept) == ["stored"]
    with anyio.move_on_after(1):
        await app.memory_changes.keep_history(timedelta(0))
    assert (await events(app, kept), await events(app, erased)) == ([], ["erased"])


async def test_the_doctor_counts_erasures_and_names_a_memory_that_is_there_again(app: App, database: Database) -> None:
    memory_id = await store(app, "tea")
    await app.memory_changes.erase(SCOPE, Selection([memory_id]))
    await caught_up(app)
    assert (await app.doctor.diagnose()).erasures == Erasures(erased=1, unpurged=1, stored=0)
    assert await app.erasures.purge() is False
    diagnosis = await app.doctor.diagnose()
    assert (diagnosis.erasures, diagnosis.problems) == (Erasures(erased=1, unpurged=0, stored=0), ())
    restored = "INSERT INTO agent_memories (id, namespace, agent_id, content) VALUES ($1, 'here', 'tester', 'tea')"
    async with database.everything.connection() as connection:
        await connection.execute(restored, memory_id)
    await caught_up(app)
    (problem,) = (await app.doctor.diagnose()).problems
    assert problem.startswith("1 erased memories are in the record again")


async def test_the_beginning_of_an_id_names_a_memory_of_the_namespace_in_any_state(app: App) -> None:
    live = await store(app, "the bakery opens at five")
    superseded, forgotten, erased = [await store(app, f"the bakery opens at {hour}") for hour in (6, 7, 8)]
    await app.memory_changes.update(SCOPE, MemoryChange(superseded, content="the bakery is closed"))
    await app.memory_changes.forget(SCOPE, Selection([forgotten]))
    await app.memory_changes.erase(SCOPE, Selection([erased]))
    for memory_id in (live, superseded, forgotten, erased):
        text = str(memory_id)
        for beginning in (text[:8], text[:9], text.replace("-", "")[:20], text):
            assert await app.memory_changes.resolve(SCOPE, beginning) == memory_id
    with pytest.raises(NotFound, match=f"No memory of namespace elsewhere has an id that begins with {str(live)[:8]}"):
        await app.memory_changes.resolve(Scope("elsewhere", "tester"), str(live)[:8])


async def test_a_beginning_of_several_ids_is_refused_with_those_ids(app: App) -> None:
    stored = [str(await store(app, f"parcel {number}")) for number in range(17)]
    first = next(digit for digit in "0123456789abcdef" if sum(text[0] == digit for text in stored) > 1)
    with pytest.raises(Invalid, match="Give more digits") as refused:
        await app.memory_changes.resolve(SCOPE, first)
    assert sum(text in str(refused.value) for text in stored) in range(2, 6)
