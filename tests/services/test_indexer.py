"""The index follows the record through failures of either."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import ItemKind, SequenceRange, Shape, Vector
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolQuery
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.draft import EdgeDraft
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services import batches, indexer
from memos_mcp.services.embedding_claims import EMBEDDINGS_PER_WRITE
from memos_mcp.settings import Settings
from tests.fakes import BrokenEmbedder, DownIndex, HashEmbedder
from tests.services.waiting import caught_up, until

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")

LEASE = timedelta(seconds=60)
HERONS = [NewMemory(f"heron number {number} was seen at the lake") for number in range(100)]


async def test_stores_succeed_and_answers_are_degraded_while_the_index_is_down(idle_app: App, index: DownIndex) -> None:
    index.down = True
    async with running(idle_app) as app:
        stored = await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))
        registered = await app.tools.register(SCOPE, NewTool("ferry", "Ferry", "Book a ferry", "https://e.example.com"))
        memories = await app.memories.query(SCOPE, MemoryQuery("when does the ferry leave"))
        tools = await app.tools.discover(SCOPE, ToolQuery(["book a boat ferry"]))
        assert (stored.created, stored.indexed, registered.indexed) == (True, False, False)
        assert [hit.memory.content for hit in memories.hits] == ["the ferry leaves at nine"]
        assert [hit.tool.tool_id for hit in tools.hits] == ["ferry"]
        assert memories.degraded is not None
        assert tools.degraded is not None
        assert "words only" in memories.degraded
        assert (await app.readiness())["index"] != "ok"

        index.down = False
        await caught_up(app)
        memories = await app.memories.query(SCOPE, MemoryQuery("when does the ferry leave"))
        assert memories.degraded is None
        assert "dense" in memories.hits[0].signals
        assert await app.readiness() == {"postgres": "ok", "index": "ok"}


async def test_an_index_that_fails_while_serving_recovers(
    tmp_path: Path, database: Database, index: DownIndex, embedder: HashEmbedder
) -> None:
    # A store waits so long for an index that is down; the longer it is down, the later it is tried again.
    settings = Settings(home=tmp_path, index_wait_seconds=0.2)
    async with running(compose(settings, database, index, embedder)) as app:
        await caught_up(app)
        await app.memories.store(SCOPE, NewMemory("first note"))
        index.down = True
        missed = await app.memories.store(SCOPE, NewMemory("second note"))
        index.down = False
        await caught_up(app)
        page = await app.memories.query(SCOPE, MemoryQuery("second note"))
    assert not missed.indexed
    assert page.degraded is None
    assert "dense" in page.hits[0].signals


async def test_an_index_that_cannot_be_opened_is_retried_after_growing_delays_and_logged_once(
    tmp_path: Path,
    database: Database,
    embedder: HashEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[float] = []
    enough = anyio.Event()

    class Unopened(EdgeIndex):
        async def open(self, shape: Shape) -> None:
            tries.append(anyio.current_time())
            if len(tries) == 5:
                enough.set()
            raise IndexUnavailable(f"It cannot be opened for {shape.model}.")

    monkeypatch.setattr(indexer, "FIRST_RETRY_SECONDS", 0.05)
    async with running(compose(Settings(home=tmp_path), database, Unopened(tmp_path / "index", 1_000), embedder)):
        with anyio.fail_after(30):
            await enough.wait()
    assert tries[-1] - tries[-2] >= 0.4
    assert caplog.text.count("cannot be brought up to date") == 1


async def test_answers_are_matched_by_words_until_the_model_can_be_loaded(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    broken = BrokenEmbedder(embedder)
    index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
    async with running(compose(Settings(home=tmp_path), database, index, broken)) as app:
        stored = await app.memories.store(SCOPE, NewMemory("the kiln is too hot"))
        page = await app.memories.query(SCOPE, MemoryQuery("kiln hot"))
        assert not stored.indexed
        assert len(page.hits) == 1
        assert page.degraded is not None
        assert "model" in page.degraded
        broken.mended = True
        await caught_up(app)
        assert (await app.memories.query(SCOPE, MemoryQuery("kiln hot"))).degraded is None


async def test_a_deleted_index_is_rebuilt_without_embedding_anything_twice(
    tmp_path: Path, database_url: str, embedder: HashEmbedder
) -> None:
    for attempt in range(2):
        index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
        app = compose(Settings(home=tmp_path), Database(database_url), index, embedder)
        async with running(app):
            if attempt == 0:
                await app.memories.store_many(SCOPE, HERONS)
                await app.tools.register(SCOPE, NewTool("t", "Telescope", "Watch birds", "https://e.example.com"))
            await caught_up(app)
            report = await app.index.report()
            assert report.items == {"memory": 100, "tool": 1, "task": 0}
            assert (await app.doctor.diagnose()).computed == 101
            assert len((await app.memories.query(SCOPE, MemoryQuery("heron number 42", limit=1))).hits) == 1
        shutil.rmtree(tmp_path / "index")
    assert embedder.passages_embedded == 101


async def test_the_doctor_counts_items_that_are_out_of_sync_and_not_queued(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    app = compose(Settings(home=tmp_path), database, EdgeIndex(tmp_path / "index", 1_000), embedder)
    await app.memories.store_many(SCOPE, HERONS[:3])
    queued = await app.doctor.diagnose()
    await app.queue.finish(await app.queue.claim(10, lease=LEASE))
    lost = await app.doctor.diagnose()
    await app.close()
    assert (queued.out_of_sync, queued.problems) == (0, ())
    assert lost.out_of_sync == 3
    assert "reindex" in lost.problems[0]


async def test_a_row_changed_while_no_server_ran_is_indexed_again(idle_app: App, database: Database) -> None:
    async with database.everything.connection() as connection:
        await idle_app.memories.store_many(SCOPE, [NewMemory("the gate is green")])
        await connection.execute("UPDATE agent_memories SET content = 'the gate is violet'")
        await connection.execute("DELETE FROM index_queue")
    async with running(idle_app) as app:
        await caught_up(app)
        page = await app.memories.query(SCOPE, MemoryQuery("violet gate"))
    assert [hit.memory.content for hit in page.hits] == ["the gate is violet"]
    assert "dense" in page.hits[0].signals


async def test_an_item_that_cannot_be_indexed_does_not_block_others(tmp_path: Path, database: Database) -> None:
    class Choosy(HashEmbedder):
        async def passages(self, texts: Sequence[str]) -> list[Vector]:
            if any("poison" in text for text in texts):
                raise ValueError("cannot embed this")
            return await super().passages(texts)

    app = compose(Settings(home=tmp_path), database, EdgeIndex(tmp_path / "index", 1_000), Choosy())
    await app.memories.store_many(SCOPE, [*HERONS[:5], NewMemory("poison apple"), *HERONS[5:10]])
    async with running(app):

        async def only_the_poison_is_queued() -> bool:
            state = await app.queue.state()
            return state.depth["memory"] == 1 and state.last_error == "ValueError"

        await until(only_the_poison_is_queued)
        report = await app.index.report()
        page = await app.memories.query(SCOPE, MemoryQuery("poison apple", limit=20))
    assert report.items["memory"] == 10
    assert "poison apple" in [hit.memory.content for hit in page.hits]


async def test_an_interrupted_embedding_of_a_long_text_is_resumed(tmp_path: Path, database: Database) -> None:
    class Exhausted(HashEmbedder):
        async def passages(self, texts: Sequence[str]) -> list[Vector]:
            done: list[Vector] = []
            for text in texts:
                if self.passages_embedded == limit:
                    raise TimeoutError
                done += await super().passages([text])
            return done

    embedder, limit = Exhausted(window=5), 300
    app = compose(Settings(home=tmp_path), database, EdgeIndex(tmp_path / "index", 10_000), embedder)
    await app.memories.store_many(SCOPE, [NewMemory(" ".join(f"word{number}" for number in range(2_000)))])
    async with running(app):

        async def interrupted() -> bool:
            return (await app.queue.state()).last_error is not None

        await until(interrupted)
        limit = 10_000
        await app.queue.mark_all()

        async def indexed() -> bool:
            return not any((await app.queue.state()).depth.values())

        await until(indexed)
        points = (await app.index.report()).points["memory"]
    assert points > 300
    assert embedder.passages_embedded <= points + EMBEDDINGS_PER_WRITE


async def test_another_model_gets_its_own_generation(tmp_path: Path, database_url: str) -> None:
    for embedder in (HashEmbedder(64), HashEmbedder(32)):
        index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
        app = compose(Settings(home=tmp_path), Database(database_url), index, embedder)
        async with running(app):
            await app.memories.store_many(SCOPE, HERONS[:20])
            await caught_up(app)
            report = await app.index.report()
            page = await app.memories.query(SCOPE, MemoryQuery("heron number 7 was seen"))
            assert report.shape.dimensions == embedder.dimensions
            assert report.items["memory"] == 20
            assert "dense" in page.hits[0].signals
            assert page.degraded is None


@pytest.mark.parametrize("threshold", [1_000, 50], ids=["requested", "for a new graph"])
async def test_answers_are_degraded_until_a_new_generation_was_reconciled(
    tmp_path: Path, database: Database, embedder: HashEmbedder, threshold: int
) -> None:
    asked, answer = anyio.Event(), anyio.Event()

    class Swapping(EdgeIndex):
        """Gets one more memory just before a swap, and cannot be compared with the record before the test allows it."""

        swapping = False

        async def _adopt(self, generation: Generation) -> None:
            assert (await app.memories.store(SCOPE, NewMemory("an osprey came late"))).indexed
            self.swapping = True
            await super()._adopt(generation)

        async def count(self, kind: ItemKind, of: SequenceRange) -> int:
            if self.swapping:
                asked.set()
                await answer.wait()
            return await super().count(kind, of)

    settings = Settings(home=tmp_path, index_wait_seconds=5)
    async with running(compose(settings, database, Swapping(tmp_path / "index", threshold), embedder)) as app:
        await app.memories.store_many(SCOPE, HERONS[:60])
        await caught_up(app)
        if threshold > 60:  # otherwise a new graph is due
            await app.reindex(fresh=True)
        with anyio.fail_after(30):
            await asked.wait()
        assert (await app.memories.query(SCOPE, MemoryQuery("osprey"))).degraded is not None
        answer.set()
        await caught_up(app)
        page = await app.memories.query(SCOPE, MemoryQuery("osprey"))
    assert page.degraded is None
    assert page.hits[0].memory.content == "an osprey came late"


async def test_a_requested_rebuild_includes_everything_stored_meanwhile(app: App, embedder: HashEmbedder) -> None:
    await app.memories.store_many(SCOPE, HERONS[:30])
    await caught_up(app)
    before = await app.index.report()
    await app.reindex(fresh=True)
    for memory in HERONS[30:40]:
        assert (await app.memories.store(SCOPE, memory)).created

    async def done() -> bool:
        return await app.log.rebuild_requested() is None

    await until(done)
    await caught_up(app)
    after = await app.index.report()
    assert after.generation != before.generation
    assert after.items["memory"] == 40
    assert embedder.passages_embedded == 40


async def test_a_new_graph_is_built_after_a_load_and_not_during_it(
    tmp_path: Path, database: Database, embedder: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    class Counting(EdgeIndex):
        async def copy(self) -> EdgeDraft:
            held.append((await self.report()).items["memory"])
            return await super().copy()

    monkeypatch.setattr(indexer, "HOUSEKEEPING_SECONDS", 0.0)
    app = compose(Settings(home=tmp_path), database, Counting(tmp_path / "index", hnsw_threshold=50), embedder)
    load = 3 * batches.BATCH + 5
    await app.memories.store_many(SCOPE, [NewMemory(f"heron number {number} was seen") for number in range(load)])
    async with running(app):

        async def built() -> bool:
            return bool(held) and not await app.index.wants_graph()

        await until(built)
    assert held == [load]
