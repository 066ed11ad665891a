"""Answers are degraded exactly while they may lack something that was acknowledged before."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from memos_mcp import app as composition
from memos_mcp.app import App, compose, running
from memos_mcp.domain.index import Vector
from memos_mcp.domain.index_queue import Claim, QueueState
from memos_mcp.domain.memory import MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
HOLD = "SELECT 1 FROM index_queue FOR UPDATE"


class Stepwise(PostgresIndexQueue):
    """The queue, whose indexer waits until the test continues it.

    `late` is stored right after a claim that found nothing, `meanwhile` runs once during a count, and nothing is
    claimed while the queue is `paused`.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.late: Sequence[NewMemory] = ()
        self.paused = False
        self.claiming = anyio.Lock()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self._store = PostgresMemories(database)
        self._waiting, self._continues = anyio.Event(), anyio.Event()

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]:
        async with self.claiming:
            due = [] if self.paused else await super().claim(limit, lease)
        if not due and self.late:
            late, self.late = self.late, ()
            await self._store.add_many(SCOPE, late, datetime.now(UTC))
        return due

    async def state(self) -> QueueState:
        state = await super().state()
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return state

    async def wait(self, seconds: float) -> None:  # noqa: ARG002 - the test decides how long
        self._waiting.set()
        await self._continues.wait()

    async def wait_until_idle(self) -> None:
        """Wait until the indexer waits for the queue."""
        with anyio.fail_after(30):
            await self._waiting.wait()

    async def step(self) -> None:
        """Let the indexer continue until it waits for the queue again."""
        continues, self._waiting, self._continues = self._continues, anyio.Event(), anyio.Event()
        continues.set()
        await self.wait_until_idle()


class Swapping(EdgeIndex):
    """The index; `before_swap` runs right before a new generation is swapped in."""

    before_swap: Callable[[], Awaitable[object]] | None = None

    async def _adopt(self, generation: Generation) -> None:
        if self.before_swap is not None:
            await self.before_swap()
        await super()._adopt(generation)


class Choosy(HashEmbedder):
    """A model that cannot embed poison."""

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        if any("poison" in text for text in texts):
            raise ValueError("cannot embed this")
        return await super().passages(texts)


@pytest.fixture
def queue(database: Database) -> Stepwise:
    return Stepwise(database)


@pytest.fixture
def index(tmp_path: Path) -> Swapping:
    return Swapping(tmp_path / "index", hnsw_threshold=1_000)


@pytest.fixture
def stepwise_app(
    tmp_path: Path, database: Database, queue: Stepwise, index: Swapping, monkeypatch: pytest.MonkeyPatch
) -> App:
    """An app whose indexer does not run yet, and will take its steps as `queue` says; a store waits for none."""
    monkeypatch.setattr(composition, "PostgresIndexQueue", lambda _database: queue)
    return compose(Settings(home=tmp_path, index_wait_seconds=0), database, index, Choosy())


async def ask(app: App, text: str) -> MemoryPage:
    return await app.memories.query(SCOPE, MemoryQuery(text))


async def test_an_item_queued_after_the_last_claim_does_not_degrade_answers(stepwise_app: App, queue: Stepwise) -> None:
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        queue.late = [NewMemory("an osprey came late")]
        await queue.step()
        meanwhile = await ask(app, "osprey")
        await queue.step()
        afterwards = await ask(app, "osprey")
    assert [hit.memory.content for hit in meanwhile.hits] == ["an osprey came late"]
    assert "dense" not in meanwhile.hits[0].signals
    assert meanwhile.degraded is None
    assert "dense" in afterwards.hits[0].signals
    assert afterwards.degraded is None


async def test_an_item_that_failed_alone_degrades_answers_even_when_another_item_follows(
    stepwise_app: App, queue: Stepwise
) -> None:
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        assert (await ask(app, "apple")).degraded is None
        await app.memories.store_many(SCOPE, [NewMemory("poison apple")])
        queue.late = [NewMemory("an osprey came late")]
        await queue.step()
        assert (await ask(app, "apple")).degraded is not None


async def test_an_acknowledged_item_that_cannot_be_claimed_degrades_answers(
    stepwise_app: App, queue: Stepwise, database: Database
) -> None:
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        assert not (await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))).indexed
        writer = await database.dedicated_connection()
        await writer.execute("BEGIN")
        await writer.execute(HOLD)
        await queue.step()
        assert (await ask(app, "ferry")).degraded is not None
        await writer.execute("ROLLBACK")
        await queue.step()
        assert (await ask(app, "ferry")).degraded is None


async def test_an_item_acknowledged_during_a_count_is_found_and_degrades_answers(
    stepwise_app: App, queue: Stepwise
) -> None:
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        queue.meanwhile = lambda: app.memories.store(SCOPE, NewMemory("an osprey came late"))
        await queue.step()
        meanwhile = await ask(app, "osprey")
        await queue.step()
        afterwards = await ask(app, "osprey")
        assert app.indexer.caught_up
    assert [hit.memory.content for hit in meanwhile.hits] == ["an osprey came late"]
    assert meanwhile.degraded is not None
    assert "dense" in afterwards.hits[0].signals
    assert afterwards.degraded is None


async def test_an_item_of_another_process_is_found_after_it_was_stored_here_again(
    stepwise_app: App, queue: Stepwise, database: Database
) -> None:
    osprey = NewMemory("an osprey came late")

    async def store_twice() -> None:
        await PostgresMemories(database).add(SCOPE, osprey, datetime.now(UTC))
        stored = await stepwise_app.memories.store(SCOPE, osprey)
        assert (stored.created, stored.indexed) == (False, False)

    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        queue.meanwhile = store_twice
        await queue.step()
        page = await ask(app, "osprey")
    assert [hit.memory.content for hit in page.hits] == ["an osprey came late"]
    assert page.degraded is not None


async def test_an_item_whose_writer_still_waits_is_found_and_does_not_degrade_answers(
    stepwise_app: App, queue: Stepwise, database: Database
) -> None:
    async with running(stepwise_app) as app, anyio.create_task_group() as writers:

        async def store_and_wait() -> None:
            added = await PostgresMemories(database).add(SCOPE, NewMemory("an osprey came late"), datetime.now(UTC))
            wait = partial(
                app.indexer.wait_until_indexed, "memory", added.memory_id, added.version, fresh=True, seconds=30
            )
            writers.start_soon(wait)
            await anyio.lowlevel.checkpoint()

        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        queue.meanwhile = store_and_wait
        await queue.step()
        page = await ask(app, "osprey")
        await queue.step()
    assert [hit.memory.content for hit in page.hits] == ["an osprey came late"]
    assert page.degraded is None


async def test_an_item_acknowledged_during_the_first_count_degrades_answers(
    stepwise_app: App, queue: Stepwise, database: Database
) -> None:
    writer = await database.dedicated_connection()

    async def store_and_hold() -> None:
        async with queue.claiming:  # a claim under way would take what is stored next
            queue.paused = True
        await stepwise_app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))
        await writer.execute("BEGIN")
        await writer.execute(HOLD)
        queue.paused = False

    queue.meanwhile = store_and_hold
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        assert (await ask(app, "ferry")).degraded is not None
        await writer.execute("ROLLBACK")
        await queue.step()
        assert (await ask(app, "ferry")).degraded is None


async def test_an_item_that_a_new_generation_lacks_is_found_when_the_queue_was_counted_before_the_swap(
    stepwise_app: App, queue: Stepwise, index: Swapping, database: Database
) -> None:
    index.before_swap = lambda: PostgresMemories(database).add(SCOPE, NewMemory("an osprey came"), datetime.now(UTC))
    async with running(stepwise_app) as app:
        await queue.wait_until_idle()
        await app.indexer.wait_until_idle()
        queue.meanwhile = app.indexer.rebuild
        await queue.step()
        page = await ask(app, "osprey")
    assert [hit.memory.content for hit in page.hits] == ["an osprey came"]
    assert page.degraded is not None
