"""The stored files and their chunks, on a real Postgres."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest

from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.domain.memory import Memory, MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, StoredFile
from memos_mcp.postgres import sources as module
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN, BOB = Scope("team", "ann"), Scope("team", "bob")
LEASE = timedelta(minutes=1)
LOCK_IS_AWAITED = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


def chunk(content: str, line: int = 1, source: str = "app") -> NewMemory:
    return NewMemory(content, kind="document", metadata={"source": source, "lines": [line, line + 1]})


def file(path: str, *new: NewMemory, digest: bytes = b"1") -> StoredFile:
    return StoredFile(path, digest, new)


async def replace(database: Database, *files: StoredFile, scope: Scope = ANN, source: str = "app") -> Replaced:
    return await PostgresSources(database).replace(scope, source, files, NOW)


def replace_metadata(new: NewMemory, **more: Any) -> NewMemory:
    return dataclasses.replace(new, metadata={**new.metadata, **more})


async def listed(database: Database, metadata: Mapping[str, Any]) -> int:
    return await PostgresMemories(database).count("team", MemoryFilter(metadata=metadata), NOW)


async def memories(database: Database, namespace: str = "team") -> dict[str, Memory]:
    every = await PostgresMemories(database).newest(namespace, MemoryFilter(), None, 1_000, NOW)
    return {memory.content: memory for memory in every}


async def drained(database: Database) -> list[UUID]:
    """Drain the queue; return the items."""
    queue = PostgresIndexQueue(database)
    due = await queue.claim(1_000, LEASE)
    await queue.finish(due)
    return [one.item_id for one in due]


async def test_a_file_is_known_by_its_digest_and_its_chunks_are_memories(database: Database) -> None:
    new = NewMemory("app.py\nmain\n\npass", kind="document", tags=("code",), metadata={"source": "app", "path": "a.py"})
    assert await replace(database, file("a.py", new, digest=b"\x00\xff")) == Replaced(created=1)
    assert await PostgresSources(database).digests(ANN, "app") == {"a.py": b"\x00\xff"}
    (memory,) = (await memories(database)).values()
    assert (memory.content, memory.kind, memory.agent_id, memory.session_id) == (new.content, "document", "ann", None)
    assert (list(memory.tags), memory.metadata, memory.occurred_at) == (["code"], new.metadata, NOW)


async def test_sources_scopes_and_namespaces_do_not_see_each_other(database: Database) -> None:
    port = PostgresSources(database)
    for scope, source in ((ANN, "app"), (ANN, "lib"), (BOB, "app"), (Scope("other", "ann"), "app")):
        await replace(database, file(f"{scope.namespace}-{scope.agent_id}-{source}"), scope=scope, source=source)
    assert list(await port.digests(ANN, "app")) == ["team-ann-app"]
    assert await port.remove(ANN, "app", ["team-bob-app", "team-ann-lib", "other-ann-app"]) == Replaced()
    assert [list(await port.digests(scope, "app")) for scope in (BOB, Scope("other", "ann"))] == [
        ["team-bob-app"],
        ["other-ann-app"],
    ]


async def test_a_changed_file_writes_only_its_changed_chunks(database: Database) -> None:
    kept = [chunk(content) for content in ("far", "near", "one")]
    await replace(database, file("a.py", *kept, chunk("two", 5), chunk("three", 9)))
    before = await memories(database)
    await drained(database)
    changed = file("a.py", *kept, chunk("zwei", 5), chunk("three", 12), digest=b"2")
    assert await replace(database, changed) == Replaced(created=1, kept=3, moved=1, removed=1)
    after = await memories(database)
    assert after.keys() == {"far", "near", "one", "zwei", "three"}
    assert [after[content] for content in ("far", "near", "one")] == [before[one.content] for one in kept]
    assert after["three"].memory_id == before["three"].memory_id
    assert after["three"].metadata["lines"] == [12, 13]
    touched = {before["two"].memory_id, *(memory.memory_id for memory in after.values())}
    assert set(await drained(database)) == touched
    assert await PostgresSources(database).digests(ANN, "app") == {"a.py": b"2"}


async def test_an_unchanged_chunk_writes_no_memory(database: Database) -> None:
    same = file("a.py", chunk("one"), chunk("two"), chunk("one", 7))
    assert await replace(database, same) == Replaced(created=2)
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT id, xmin, ctid FROM agent_memories ORDER BY id")
        again = file("a.py", chunk("one"), chunk("two"), digest=b"2")
        assert await replace(database, again) == Replaced(kept=2)
        assert await connection.fetch("SELECT id, xmin, ctid FROM agent_memories ORDER BY id") == rows


async def test_a_removed_file_deletes_its_memories(database: Database) -> None:
    await replace(database, file("a.py", chunk("one"), chunk("two")), file("b.py", chunk("three")))
    await drained(database)
    assert await PostgresSources(database).remove(ANN, "app", ["a.py", "never.py"]) == Replaced(removed=2)
    assert list(await memories(database)) == ["three"]
    assert list(await PostgresSources(database).digests(ANN, "app")) == ["b.py"]
    assert len(await drained(database)) == 2


async def test_a_chunk_of_several_files_stays_until_the_last_is_removed(database: Database) -> None:
    port = PostgresSources(database)
    await replace(database, file("a.py", chunk("licence")), file("b.py", chunk("licence")))
    await replace(database, file("c.py", chunk("licence", source="lib")), source="lib")
    licence = (await memories(database))["licence"]
    assert await port.remove(ANN, "app", ["a.py"]) == Replaced()
    assert await replace(database, file("b.py", digest=b"2")) == Replaced()
    here = (await memories(database))["licence"]
    assert (here.memory_id, here.metadata["source"]) == (licence.memory_id, "lib")
    assert await port.remove(ANN, "lib", ["c.py"]) == Replaced(removed=1)
    assert await memories(database) == {}


async def test_a_chunk_that_moves_to_another_file_of_the_batch_stays(database: Database) -> None:
    await replace(database, file("a.py", chunk("one")), file("b.py"))
    before = await memories(database)
    assert await replace(database, file("a.py"), file("b.py", chunk("one"))) == Replaced(kept=1)
    assert await memories(database) == before


async def test_a_shared_chunk_names_the_lines_of_each_source(database: Database) -> None:
    await replace(database, file("a.py", chunk("one", 1)))
    assert await replace(database, file("a.py", chunk("one", 5, "fork")), source="fork") == Replaced(kept=1)
    changed = file("a.py", chunk("one", 9, "fork"), digest=b"2")
    assert await replace(database, changed, source="fork") == Replaced(moved=1)
    fork = {"source": "fork", "lines": [9, 10]}
    assert (await memories(database))["one"].metadata == {"source": "app", "lines": [1, 2], "also_in": [fork]}
    assert await replace(database, file("a.py", chunk("one", 3), digest=b"2")) == Replaced(moved=1)
    assert (await memories(database))["one"].metadata == {"source": "app", "lines": [3, 4], "also_in": [fork]}


@pytest.mark.parametrize(
    ("removed", "remaining"),
    [
        ("app", {"source": "lib", "lines": [5, 6], "also_in": [{"source": "fork", "lines": [9, 10]}]}),
        ("lib", {"source": "app", "lines": [1, 2], "also_in": [{"source": "fork", "lines": [9, 10]}]}),
        ("fork", {"source": "app", "lines": [1, 2], "also_in": [{"source": "lib", "lines": [5, 6]}]}),
    ],
)
async def test_a_removed_source_is_no_longer_named_by_its_shared_chunks(
    database: Database, removed: str, remaining: dict[str, Any]
) -> None:
    for source, line in (("app", 1), ("lib", 5), ("fork", 9)):
        await replace(database, file("a.py", chunk("one", line, source)), source=source)
    assert await PostgresSources(database).remove(ANN, removed, ["a.py"]) == Replaced()
    assert (await memories(database))["one"].metadata == remaining


async def test_a_shared_chunk_is_listed_for_each_source_by_everything_that_it_is_there(database: Database) -> None:
    for source, line in (("app", 1), ("fork", 5)):
        new = replace_metadata(chunk("one", line, source), path="src/a.py", folders=["src"])
        await replace(database, file("src/a.py", new), source=source)
    matching: list[dict[str, Any]] = [
        {"source": "app"},
        {"source": "fork"},
        {"source": "fork", "path": "src/a.py", "folders": ["src"]},
        {"source": "fork", "lines": [5, 6]},
        {"also_in": [{"source": "fork"}]},
    ]
    other: list[dict[str, Any]] = [
        {"source": "lib"},
        {"source": "fork", "lines": [1, 2]},
        {"source": "fork", "path": "src/b.py"},
        {"source": "fork", "lines": None},
        {"source": None},
        {"source": ["fork"]},
    ]
    assert [await listed(database, metadata) for metadata in matching] == [1] * len(matching)
    assert [await listed(database, metadata) for metadata in other] == [0] * len(other)


async def test_a_chunk_that_was_shared_before_all_sources_were_named_names_the_remaining_one(
    database: Database,
) -> None:
    await replace(database, file("a.py", chunk("one")))
    await replace(database, file("a.py", chunk("one", 5, "fork")), source="fork")
    async with database.everything.connection() as connection:
        await connection.execute("UPDATE agent_memories SET metadata = metadata - 'also_in'")
    await PostgresSources(database).remove(ANN, "app", ["a.py"])
    assert (await memories(database))["one"].metadata["source"] == "fork"
    await replace(database, file("a.py", chunk("one", 5, "fork"), digest=b"2"), source="fork")
    assert (await memories(database))["one"].metadata == {"source": "fork", "lines": [5, 6]}


@pytest.mark.parametrize("first", ["the file", "the hand"])
async def test_a_memory_stored_by_hand_outlives_the_file(database: Database, first: str) -> None:
    store, port = PostgresMemories(database), PostgresSources(database)
    by_hand = NewMemory("one", tags=("mine",))
    if first == "the hand":
        await store.add(ANN, by_hand, NOW)
    assert (await replace(database, file("a.py", chunk("one")))).created == (first == "the file")
    if first == "the file":
        assert not (await store.add(ANN, by_hand, NOW)).created
    before = await memories(database)
    assert await replace(database, file("a.py", chunk("one", 9), digest=b"2")) == Replaced(kept=1)
    assert await port.remove(ANN, "app", ["a.py"]) == Replaced()
    assert await memories(database) == before


async def test_memories_stored_by_hand_in_a_batch_outlive_the_file(database: Database) -> None:
    await replace(database, file("a.py", chunk("one"), chunk("two")))
    added = await PostgresMemories(database).add_many(ANN, [NewMemory("one"), NewMemory("three")], NOW)
    assert [one.created for one in added] == [False, True]
    assert await PostgresSources(database).remove(ANN, "app", ["a.py"]) == Replaced(removed=1)
    assert (await memories(database)).keys() == {"one", "three"}


async def test_a_chunk_corrected_by_hand_is_not_stored_again(database: Database) -> None:
    await replace(database, file("a.py", chunk("one"), chunk("two")))
    wrong = (await memories(database))["one"]
    await PostgresMemories(database).add(ANN, NewMemory("better", supersedes=wrong.memory_id), NOW)
    await replace(database, file("a.py", chunk("one"), chunk("zwei"), digest=b"2"))
    assert (await memories(database)).keys() == {"better", "zwei"}


async def test_an_expired_memory_is_stored_again_with_the_file(database: Database) -> None:
    store = PostgresMemories(database)
    await store.add(ANN, NewMemory("one", expires_at=NOW - timedelta(hours=1)), NOW - timedelta(hours=2))
    assert await replace(database, file("a.py", chunk("one"))) == Replaced(created=1)
    assert (await memories(database))["one"].expires_at is None
    assert await PostgresSources(database).remove(ANN, "app", ["a.py"]) == Replaced(removed=1)


async def test_concurrent_stores_by_hand_and_file_removals_lose_nothing(database: Database) -> None:
    store, port = PostgresMemories(database), PostgresSources(database)
    contents = [f"chunk {number}" for number in range(40)]
    for _ in range(5):
        await replace(database, file("a.py", *map(chunk, contents)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(port.remove, ANN, "app", ["a.py"])
            for content in contents:
                tasks.start_soon(store.add, ANN, NewMemory(content), NOW)
        assert (await memories(database)).keys() == set(contents)
        async with database.everything.connection() as connection:
            await connection.execute("DELETE FROM agent_memories")


async def test_sources_that_share_chunks_can_be_written_at_the_same_moment(database: Database) -> None:
    port = PostgresSources(database)
    contents = [f"chunk {number}" for number in range(20)]

    async def add_and_remove(source: str) -> None:
        for _ in range(5):
            await replace(database, file("a.py", *(chunk(one, 1, source) for one in contents)), source=source)
            await port.remove(ANN, source, ["a.py"])
        await replace(database, file("a.py", *(chunk(one, 1, source) for one in reversed(contents))), source=source)

    sources = {f"source {number}" for number in range(4)}
    async with anyio.create_task_group() as tasks:
        for source in sources:
            tasks.start_soon(add_and_remove, source)
    stored = await memories(database)
    assert stored.keys() == set(contents)
    assert await recorded(database) == {memory.memory_id for memory in stored.values()}
    for memory in stored.values():
        assert sorted(sources) == sorted(
            [memory.metadata["source"], *(one["source"] for one in memory.metadata["also_in"])]
        )


async def test_a_chunk_removed_while_another_source_starts_to_share_it_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, replaced, done = PostgresSources(database), anyio.Event(), anyio.Event()
    await replace(database, file("a.py", chunk("one")))
    plain = module._replace

    async def slow(*arguments: Any) -> Replaced:
        result = await plain(*arguments)
        replaced.set()
        await done.wait()
        return result

    monkeypatch.setattr(module, "_replace", slow)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, database.everything.connection() as connection:
            tasks.start_soon(port.replace, ANN, "lib", [file("a.py", chunk("one", source="lib"))], NOW)
            await replaced.wait()
            tasks.start_soon(port.remove, ANN, "app", ["a.py"])
            while not await connection.fetchval(LOCK_IS_AWAITED) and await port.digests(ANN, "app"):  # noqa: ASYNC110  # another connection gives no event
                await anyio.sleep(0.01)
            done.set()
    here = (await memories(database))["one"]
    assert {here.memory_id} == await recorded(database)
    assert here.metadata == {"source": "lib", "lines": [1, 2]}


async def test_a_batch_is_recorded_as_a_whole_or_not_at_all(database: Database) -> None:
    await replace(database, file("a.py", chunk("one")))
    broken = NewMemory("two", kind="hearsay")  # type: ignore[arg-type]  # what the schema refuses, after the first file
    with pytest.raises(Invalid):
        await replace(database, file("a.py", chunk("uno"), digest=b"2"), file("b.py", broken))
    assert await PostgresSources(database).digests(ANN, "app") == {"a.py": b"1"}
    assert list(await memories(database)) == ["one"]


async def test_single_stores_come_before_chunks_in_the_queue(database: Database) -> None:
    await replace(database, file("a.py", chunk("one")))
    added = await PostgresMemories(database).add(ANN, NewMemory("by hand"), NOW)
    (due,) = await PostgresIndexQueue(database).claim(1, LEASE)
    assert due.item_id == added.memory_id


async def test_the_longest_names_and_paths_fit(database: Database) -> None:
    longest = "".join(chr(0x1F300 + number) for number in range(255))
    scope, path = Scope(longest, longest[::-1]), "/".join([longest] * 4)
    for digest in (b"1", b"2"):
        await replace(database, file(path, chunk("one"), digest=digest), scope=scope, source=longest)
    assert await PostgresSources(database).digests(scope, longest) == {path: b"2"}


async def test_a_second_run_on_a_source_is_rejected(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    port = PostgresSources(database)
    with anyio.fail_after(10):
        async with port.lock(ANN, "app"):
            with pytest.raises(Unavailable, match="Another run is ingesting app"):
                async with port.lock(ANN, "app"):
                    pytest.fail("both held the lock")
            async with port.lock(ANN, "lib"), port.lock(BOB, "app"):
                pass
        async with port.lock(ANN, "app"):
            pass


async def test_a_failed_run_releases_its_lock(database: Database) -> None:
    port = PostgresSources(database)
    with pytest.raises(ZeroDivisionError):
        async with port.lock(ANN, "app"):
            raise ZeroDivisionError
    async with port.lock(ANN, "app"):
        pass


async def recorded(database: Database) -> set[UUID]:
    async with database.everything.connection() as connection:
        rows: Sequence[Mapping[str, Any]] = await connection.fetch("SELECT memory_ids FROM ingested_files")
    return {memory_id for row in rows for memory_id in row["memory_ids"]}
