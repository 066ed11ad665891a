"""The start of a requested rebuild."""

from collections.abc import Sequence
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.app import App, running
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.index import Entry, ItemKind
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.qdrant.edge.draft import EdgeDraft
from memos_mcp.services import indexer, reconciliation
from memos_mcp.services.projector import Projector
from tests.services.waiting import caught_up, until

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")


async def test_a_rebuild_requested_right_after_another_does_not_wait_for_the_next_poll(
    idle_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "POLL_SECONDS", 60.0)
    async with running(idle_app) as app:
        await caught_up(app)
        for _ in range(2):
            before = (await app.index.report()).generation
            await app.reindex(fresh=True)
            with anyio.fail_after(20):
                while (await app.index.report()).generation == before:
                    await anyio.lowlevel.checkpoint()


async def test_a_rebuild_reads_the_next_batch_while_one_is_put(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    await app.memories.store_many(SCOPE, [NewMemory("a heron"), NewMemory("a bittern"), NewMemory("an egret")])
    await caught_up(app)
    batches, released = list[Sequence[UUID]](), anyio.Event()
    read, put = Projector.entries, EdgeDraft.put

    async def counted(self: Projector, kind: ItemKind, ids: Sequence[UUID]) -> list[Entry]:
        batches.append(ids)
        return await read(self, kind, ids)

    async def held(self: EdgeDraft, kind: ItemKind, entries: Sequence[Entry]) -> None:
        await released.wait()
        await put(self, kind, entries)

    async def two_batches_are_read() -> bool:
        return len(batches) == 2

    monkeypatch.setattr(reconciliation, "BUILD_BATCH", 1)
    monkeypatch.setattr(Projector, "entries", counted)
    monkeypatch.setattr(EdgeDraft, "put", held)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.indexer.rebuild)
        await until(two_batches_are_read)
        released.set()
    assert (await app.index.report()).items["memory"] == 3


async def test_a_rebuild_whose_rows_cannot_be_read_raises_the_reason_and_keeps_the_generation(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.memories.store_many(SCOPE, [NewMemory("a heron")])
    await caught_up(app)
    before = app.index.generation

    async def unavailable(_self: Projector, _kind: ItemKind, _ids: Sequence[UUID]) -> list[Entry]:
        raise StoreUnavailable("Postgres is away.")

    with monkeypatch.context() as patch:
        patch.setattr(Projector, "entries", unavailable)
        with pytest.raises(StoreUnavailable):
            await app.indexer.rebuild()
    assert app.index.generation == before
    await app.indexer.rebuild()
    assert app.index.generation != before
