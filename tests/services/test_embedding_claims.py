"""Two engines that meet the same text together: one of them embeds it."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp import app as composition
from memos_mcp.app import App, compose, running
from memos_mcp.domain.errors import EmbedderUnavailable
from memos_mcp.domain.index import Vector
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.services.embedding_claims import LEASE, compute_once
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANN, BOB = Scope("here", "ann"), Scope("here", "bob")
TEA = NewMemory("tea at four")
MODEL = HashEmbedder().model


class HeldEmbedder(HashEmbedder):
    """Embeds nothing until it is released. Two engines share it, so that it counts what both compute."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = anyio.Event(), anyio.Event()

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.entered.set()
        await self.released.wait()
        return await super().passages(texts)


class Claims(PostgresEmbeddings):
    """The store of vectors, which notes its claims."""

    granted: list[int]
    refused: anyio.Event

    async def claim(self, model: str, hashes: Sequence[bytes], lease: timedelta) -> set[bytes]:
        claimed = await super().claim(model, hashes, lease)
        self.granted.append(len(claimed))
        if not claimed:
            self.refused.set()
        return claimed


@pytest.fixture
def embedder() -> HeldEmbedder:
    return HeldEmbedder()


@pytest.fixture
async def engines(
    tmp_path: Path, database_url: str, embedder: HeldEmbedder, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[App, App]]:
    """Two engines on one database and one index server."""
    monkeypatch.setattr(Claims, "granted", [], raising=False)
    monkeypatch.setattr(Claims, "refused", anyio.Event(), raising=False)
    monkeypatch.setattr(composition, "PostgresEmbeddings", Claims)
    client = AsyncQdrantClient(":memory:")

    def engine(name: str) -> App:
        index = ServerIndex("", None, "memos", client)
        return compose(Settings(home=tmp_path / name), Database(database_url), index, embedder)

    async with running(engine("one")) as one, running(engine("two")) as two:
        await caught_up(one)
        await caught_up(two)
        yield one, two
    await client.close()


async def both_caught_up(engines: tuple[App, App]) -> dict[str, int]:
    """Return how many memories the index holds and how many vectors were counted as computed."""
    for engine in engines:
        await caught_up(engine)
    diagnosis = await engines[0].doctor.diagnose()
    assert diagnosis.index is not None
    return {"indexed": diagnosis.index.items["memory"], "computed": diagnosis.computed}


async def test_a_text_that_another_engine_is_embedding_is_embedded_once(
    engines: tuple[App, App], database: Database, embedder: HeldEmbedder
) -> None:
    memories = PostgresMemories(database)
    with anyio.fail_after(20):
        await memories.add(ANN, TEA, NOW)
        await embedder.entered.wait()  # one engine holds this memory, so that the other one indexes the next
        await memories.add(BOB, TEA, NOW)
        await Claims.refused.wait()
        embedder.released.set()
        assert await both_caught_up(engines) == {"indexed": 2, "computed": 1}
    assert embedder.passages_embedded == 1


async def test_a_text_that_a_crashed_engine_claimed_is_embedded_after_its_lease(
    engines: tuple[App, App], database: Database, embedder: HeldEmbedder
) -> None:
    assert await PostgresEmbeddings(database).claim(MODEL, [TEA.content_hash], LEASE) == {TEA.content_hash}
    embedder.released.set()
    with anyio.fail_after(20):
        await PostgresMemories(database).add(ANN, TEA, NOW)
        await Claims.refused.wait()
        assert embedder.passages_embedded == 0
        async with database.everything.connection() as connection:
            await connection.execute("UPDATE embeddings SET claimed_until = now()")
        assert await both_caught_up(engines) == {"indexed": 1, "computed": 1}
    assert embedder.passages_embedded == 1


async def test_texts_whose_vectors_are_known_are_not_claimed(engines: tuple[App, App], embedder: HeldEmbedder) -> None:
    embedder.released.set()
    await engines[0].memories.store(ANN, TEA)
    await both_caught_up(engines)
    assert Claims.granted == [1]
    await engines[0].memories.store(BOB, TEA)
    await engines[0].reindex(fresh=False)
    assert await both_caught_up(engines) == {"indexed": 2, "computed": 1}
    assert Claims.granted == [1]


async def test_a_text_that_could_not_be_embedded_can_be_claimed_at_once(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)

    async def fail(_digests: Sequence[bytes]) -> dict[bytes, Vector]:
        raise EmbedderUnavailable("The embedding model cannot be loaded.")

    with pytest.raises(EmbedderUnavailable):
        await compute_once(embeddings, MODEL, [TEA.content_hash], fail)
    assert await embeddings.claim(MODEL, [TEA.content_hash], LEASE) == {TEA.content_hash}
