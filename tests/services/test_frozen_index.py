"""An index process that does not answer: queries and stores continue, and answers are whole after its replacement."""

import signal
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from memos_mcp.app import compose, running
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolQuery
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge import index as edge_index
from memos_mcp.qdrant.edge.index import PING_SECONDS, EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
QUESTION = MemoryQuery("when does the ferry leave")


@pytest.mark.parametrize("ping_seconds", [2.5, pytest.param(PING_SECONDS, marks=pytest.mark.slow)])
async def test_queries_are_degraded_and_stores_acknowledged_until_a_frozen_index_process_is_replaced(
    tmp_path: Path, database: Database, ping_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_index, "PING_SECONDS", ping_seconds)
    index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
    settings = Settings(home=tmp_path, index_wait_seconds=0.1)
    async with running(compose(settings, database, index, HashEmbedder())) as app:
        await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))
        await caught_up(app)
        frozen = index._running().worker._process
        frozen.send_signal(signal.SIGSTOP)
        try:
            for _ in range(2):
                with anyio.fail_after(2):
                    found = await app.memories.query(SCOPE, QUESTION)
                assert [hit.memory.content for hit in found.hits] == ["the ferry leaves at nine"]
                assert "words only" in (found.degraded or "")
            with anyio.fail_after(2):
                assert "words only" in ((await app.tools.discover(SCOPE, ToolQuery(["ferry"]))).degraded or "")
            stored = await app.memories.store(SCOPE, NewMemory("the last ferry leaves at ten"))
            assert (stored.created, stored.indexed) == (True, False)
            with anyio.fail_after(ping_seconds + 5):
                await frozen.wait()
        finally:
            with suppress(ProcessLookupError):
                frozen.send_signal(signal.SIGCONT)
        await caught_up(app)
        found = await app.memories.query(SCOPE, QUESTION)
        assert {hit.memory.content for hit in found.hits} == {
            "the ferry leaves at nine",
            "the last ferry leaves at ten",
        }
        assert found.degraded is None
        assert all("dense" in hit.signals for hit in found.hits)
