"""When an answer says that the index is catching up: while it may lack something that was acknowledged before."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from memos_mcp import app as composition
from memos_mcp.app import App, compose, running
from memos_mcp.domain.index import Due, Vector
from memos_mcp.domain.memory import MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.qdrant.edge import EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
HOLD = "SELECT 1 FROM index_queue FOR UPDATE"


class Stepwise(PostgresIndexQueue):
    """The queue, whose indexer rests until it is told to go on. `late` comes right after a claim that found nothing."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.late: Sequence[NewMemory] = ()
        self._store = PostgresMemories(database)
        self._rests, self._goes_on = anyio.Event(), anyio.Event()

    async def claim(self, limit: int, lease: timedelta) -> list[Due]:
        due = await super().claim(limit, lease)
        if not due and self.late:
            late, self.late = self.late, ()
            await self._store.add_many(SCOPE, late, datetime.now(UTC))
        return due

    async def wait(self, seconds: float) -> None:  # noqa: ARG002 - the test decides how long
        self._rests.set()
        await self._goes_on.wait()

    async def rest(self) -> None:
        """Wait until the indexer rests."""
        with anyio.fail_after(30):
            await self._rests.wait()

    async def next_rest(self) -> None:
        """Let the indexer go on until it rests again."""
        goes_on, self._rests, self._goes_on = self._goes_on, anyio.Event(), anyio.Event()
        goes_on.set()
        await self.rest()


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
def stepwise_app(tmp_path: Path, database: Database, queue: Stepwise, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app whose indexer does not run yet, and will take its steps as `queue` says; a store waits for none."""
    monkeypatch.setattr(composition, "PostgresIndexQueue", lambda _database: queue)
    index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
    return compose(Settings(home=tmp_path, index_wait_seconds=0), database, index, Choosy())


async def ask(app: App, text: str) -> MemoryPage:
    return await app.memories.query(SCOPE, MemoryQuery(text))


async def test_what_comes_between_the_last_claim_and_the_rest_does_not_make_answers_pass_for_incomplete(
    stepwise_app: App, queue: Stepwise
) -> None:
    queue.late = [NewMemory("an osprey came late")]
    async with running(stepwise_app) as app:
        await queue.rest()
        meanwhile = await ask(app, "osprey")
        await queue.next_rest()
        afterwards = await ask(app, "osprey")
    assert [hit.memory.content for hit in meanwhile.hits] == ["an osprey came late"]
    assert "dense" not in meanwhile.hits[0].signals
    assert meanwhile.degraded is None
    assert "dense" in afterwards.hits[0].signals
    assert afterwards.degraded is None


async def test_what_failed_alone_keeps_answers_from_passing_for_complete_also_when_something_comes_after_it(
    stepwise_app: App, queue: Stepwise
) -> None:
    async with running(stepwise_app) as app:
        await queue.rest()
        assert (await ask(app, "apple")).degraded is None
        await app.memories.store_many(SCOPE, [NewMemory("poison apple")])
        queue.late = [NewMemory("an osprey came late")]
        await queue.next_rest()
        assert (await ask(app, "apple")).degraded is not None


async def test_what_was_acknowledged_and_cannot_be_claimed_keeps_answers_from_passing_for_complete(
    stepwise_app: App, queue: Stepwise, database: Database
) -> None:
    async with running(stepwise_app) as app:
        await queue.rest()
        assert not (await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))).indexed
        writer = await database.listener()
        await writer.execute("BEGIN")
        await writer.execute(HOLD)
        await queue.next_rest()
        assert (await ask(app, "ferry")).degraded is not None
        await writer.execute("ROLLBACK")
        await queue.next_rest()
        assert (await ask(app, "ferry")).degraded is None
