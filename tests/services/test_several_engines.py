"""Two engines on one database and one index server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp import app as composition
from memos_mcp.app import App, compose, running
from memos_mcp.domain.index import IndexReport
from memos_mcp.domain.index_queue import Claim
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up, until

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

SCOPE = Scope("here", "tester")


class NeverClaims(PostgresIndexQueue):
    """The queue of an engine that is always slower than another one."""

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]:  # noqa: ARG002 - whatever is asked for
        return []


@pytest.fixture
async def engines(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[App, App]]:
    """An engine that indexes nothing itself, and one that does. A store waits for longer than a test may take."""
    client = AsyncQdrantClient(":memory:")

    def engine(name: str) -> App:
        settings = Settings(home=tmp_path / name, index_wait_seconds=30)
        return compose(settings, Database(database_url), ServerIndex("", None, "memos", client), HashEmbedder())

    fast = engine("fast")
    monkeypatch.setattr(composition, "PostgresIndexQueue", NeverClaims)
    slow = engine("slow")
    async with running(fast), running(slow):
        await caught_up(fast)
        await caught_up(slow)
        yield slow, fast
    await client.close()


async def test_a_store_returns_when_another_engine_has_indexed_it(engines: tuple[App, App]) -> None:
    slow, _ = engines
    with anyio.fail_after(20):
        assert (await slow.memories.store(SCOPE, NewMemory("tea at four"))).indexed


async def test_the_doctor_lists_every_engine_until_it_stops(
    engines: tuple[App, App], tmp_path: Path, database_url: str
) -> None:
    _, fast = engines
    assert (await fast.memories.store(SCOPE, NewMemory("tea at four"))).indexed

    async def reports() -> list[IndexReport | None]:
        return [engine.index for engine in (await fast.doctor.diagnose()).engines]

    async def all_hold_it() -> bool:
        found = await reports()
        return len(found) == 2 and all(report is not None and report.items["memory"] == 1 for report in found)

    await until(all_hold_it)
    unreachable = DownIndex(ServerIndex("http://127.0.0.1:1", None, "memos"))
    third = compose(Settings(home=tmp_path), Database(database_url), unreachable, HashEmbedder())
    async with running(third):
        await third.indexer.wait_until_opened()
        assert third.indexer.error is not None

        async def third_is_listed() -> bool:
            return (await reports()).count(None) == 1

        await until(third_is_listed)
    assert len(await reports()) == 2


async def test_a_registration_returns_when_another_engine_has_indexed_it(engines: tuple[App, App]) -> None:
    slow, _ = engines
    with anyio.fail_after(20):
        assert (await slow.tools.register(SCOPE, NewTool("mail", "Mail", "Sends mail.", "http://x"))).indexed
        assert (await slow.tools.register(SCOPE, NewTool("mail", "Mail", "Sends letters.", "http://x"))).indexed


async def test_a_lost_index_server_is_filled_from_the_record_without_a_second_inference(
    tmp_path: Path, database_url: str
) -> None:
    client, embedder = AsyncQdrantClient(":memory:"), HashEmbedder()
    app = compose(Settings(home=tmp_path), Database(database_url), ServerIndex("", None, "memos", client), embedder)
    async with running(app):
        for content in ("tea at four", "coffee at nine"):
            await app.memories.store(SCOPE, NewMemory(content))
        await caught_up(app)
        for collection in (await client.get_collections()).collections:
            await client.delete_collection(collection.name)
        await app.memories.store(SCOPE, NewMemory("cocoa at ten"))

        async def all_are_found() -> bool:
            points = [await client.count(one.collection_name) for one in (await client.get_aliases()).aliases]
            return sum(found.count for found in points) == 3 and not app.indexer.behind

        await until(all_are_found)
        page = await app.memories.query(SCOPE, MemoryQuery("tea four"))
        assert (page.hits[0].memory.content, page.degraded) == ("tea at four", None)
    assert embedder.passages_embedded == 3
    await client.close()
