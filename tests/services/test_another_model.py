"""Another embedding model: the old one answers by meaning until the new generation is built."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp.app import App, compose, running
from memos_mcp.domain.engines import BuildProgress
from memos_mcp.domain.errors import EmbedderUnavailable
from memos_mcp.domain.index import Embedder, Vector, VectorIndex
from memos_mcp.domain.memory import MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.services.search import BEHIND, OUTDATED
from memos_mcp.settings import Settings
from tests.fakes import BrokenEmbedder, HashEmbedder
from tests.services.waiting import caught_up, until

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

SCOPE = Scope("here", "tester")
HERONS = [NewMemory(f"heron number {number} was seen") for number in range(20)]


class Gated(HashEmbedder):
    """Embeds passages only once the gate is open; questions at any time."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions)
        self.gate = anyio.Event()

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        await self.gate.wait()
        return await super().passages(texts)


class Installation:
    """A data folder and a database, whose server is started with one model after the other."""

    def __init__(self, home: Path, url: str, client: AsyncQdrantClient | None) -> None:
        self._home = home
        self._url = url
        self._client = client

    def app(self, embedder: Embedder, old: Embedder | None = None) -> App:
        """Return an app with this model; `old` embeds questions for an index of the old one."""
        index: VectorIndex = EdgeIndex(self._home / "index", 1_000)
        if self._client is not None:
            index = ServerIndex("", None, "memos", self._client)
        settings = Settings(home=self._home, index_wait_seconds=20)
        factory = None if old is None else lambda model: old if old.model == model else HashEmbedder()
        return compose(settings, Database(self._url), index, embedder, None, factory)


@pytest.fixture(params=["edge", "server"])
async def installation(
    tmp_path: Path, database_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[Installation]:
    client = AsyncQdrantClient(":memory:") if request.param == "server" else None
    installation = Installation(tmp_path, database_url, client)
    async with running(installation.app(HashEmbedder(64))) as app:
        await app.memories.store_many(SCOPE, HERONS)
        await caught_up(app)
    yield installation
    if client is not None:
        await client.close()


async def ask(app: App) -> MemoryPage:
    return await app.memories.query(SCOPE, MemoryQuery("heron number 7 was seen"))


async def test_the_old_model_answers_by_meaning_until_the_new_generation_is_built(installation: Installation) -> None:
    new, old = Gated(32), HashEmbedder(64)
    async with running(installation.app(new, old)) as app:

        async def whole() -> bool:
            return (await ask(app)).degraded is None

        await until(whole)
        page = await ask(app)
        assert page.hits[0].memory.content == "heron number 7 was seen"
        assert "dense" in page.hits[0].signals
        assert page.confident is not None
        assert (old.queries_embedded > 0, new.queries_embedded, old.passages_embedded) == (True, 0, 0)

        async def in_progress() -> bool:
            return (await app.doctor.diagnose()).building == BuildProgress(0, 20, None)

        await until(in_progress)
        with anyio.fail_after(5):
            stored = await app.memories.store(SCOPE, NewMemory("an osprey came late"))
        late = await app.memories.query(SCOPE, MemoryQuery("osprey"))
        assert not stored.indexed
        assert late.hits[0].memory.content == "an osprey came late"
        assert late.degraded == BEHIND

        new.gate.set()
        await caught_up(app)
        page = await ask(app)
        assert "dense" in page.hits[0].signals
        assert page.degraded is None
        assert new.queries_embedded > 0

        async def published_as_done() -> bool:
            return (await app.doctor.diagnose()).building is None

        await until(published_as_done)
        report = await app.index.report()
        assert (report.shape.dimensions, report.items["memory"]) == (32, 21)


@pytest.mark.parametrize("old", [None, BrokenEmbedder(HashEmbedder(64))])
async def test_answers_are_by_words_and_give_the_reason_while_the_old_model_cannot_be_loaded(
    installation: Installation, old: Embedder | None
) -> None:
    new = Gated(32)
    async with running(installation.app(new, old)) as app:
        page = await ask(app)
        assert "heron number 7 was seen" in [hit.memory.content for hit in page.hits]
        assert OUTDATED in (page.degraded or "")
        assert page.confident is None
        if old is not None:
            with pytest.raises(EmbedderUnavailable) as error:
                await old.queries(["heron"])
            assert str(error.value) in (page.degraded or "")
        new.gate.set()
        await caught_up(app)
        assert (await ask(app)).degraded is None


async def test_a_return_to_the_model_before_is_immediate_and_embeds_nothing_twice(installation: Installation) -> None:
    async with running(installation.app(HashEmbedder(32))) as app:
        await caught_up(app)
        await app.memories.store(SCOPE, NewMemory("an osprey came late"))
        await caught_up(app)
    old = HashEmbedder(64)
    async with running(installation.app(old)) as app:
        page = await ask(app)
        assert "dense" in page.hits[0].signals
        await caught_up(app)
        assert (await app.memories.query(SCOPE, MemoryQuery("osprey"))).degraded is None
        assert (await app.index.report()).items["memory"] == 21
        assert old.passages_embedded == 1
        assert await app.index.prune()
