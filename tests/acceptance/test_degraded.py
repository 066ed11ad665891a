"""Without one of its parts the server still does what it can, reports what it cannot, and recovers by itself."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from mcp import Client
from mcp.types import TextContent
from pydantic import SecretStr

from memos_mcp.app import App, open_app
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.memory import MemoryFilter, MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolQuery
from memos_mcp.mcp_server.server import build_server
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.qdrant.edge import generations
from memos_mcp.services import indexer
from memos_mcp.settings import Settings
from tests.acceptance.raw_clients import until
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

SCOPE = Scope("default", "default")
FERRY = NewMemory("The ferry to the island leaves at dawn.")
SAILING = "When does the boat depart in the morning?"
"""It means the same as the memory of the ferry, and shares no content word with it."""
WEATHER = NewTool("weather", "Weather", "Returns the forecast for a city.", "https://example.org/weather")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setattr(indexer, "LAST_RETRY_SECONDS", 0.5)
    home = tmp_path / "home"
    home.mkdir()
    return home


async def test_queries_are_degraded_to_words_while_another_process_holds_the_index(
    home: Path, database_url: str
) -> None:
    held = generations.lock(home / "index")
    async with wait_until_opened(home, database_url) as app:
        assert not (await app.memories.store(SCOPE, FERRY)).indexed
        assert not (await app.tools.register(SCOPE, WEATHER)).indexed
        page = await ask(app, "ferry")
        assert [hit.memory.content for hit in page.hits] == [FERRY.content]
        assert page.degraded is not None
        assert "held by another process" in (await app.readiness())["index"]
        assert (await ask(app, SAILING)).hits == []
        found = await app.tools.discover(SCOPE, ToolQuery(["forecast"]))
        assert [hit.tool.tool_id for hit in found.hits] == ["weather"]
        assert found.degraded is not None
        os.close(held)
        await until_whole(app)
        await assert_found_by_meaning(app)
        found = await app.tools.discover(SCOPE, ToolQuery(["Will it rain tomorrow?"]))
        assert ([hit.tool.tool_id for hit in found.hits], found.degraded) == (["weather"], None)


async def test_queries_are_degraded_to_words_while_the_index_folder_is_unusable(home: Path, database_url: str) -> None:
    (home / "index").write_text("not a folder")
    async with wait_until_opened(home, database_url) as app:
        assert not (await app.memories.store(SCOPE, FERRY)).indexed
        page = await ask(app, "ferry")
        assert len(page.hits) == 1
        assert page.degraded is not None
        assert str(home) not in page.degraded
        (home / "index").unlink()
        await until_whole(app)
        await assert_found_by_meaning(app)


async def test_an_index_process_that_is_killed_is_replaced(home: Path, database_url: str) -> None:
    async with wait_until_opened(home, database_url, wait=5) as app:
        assert (await app.memories.store(SCOPE, FERRY)).indexed
        (host,) = [child for child in psutil.Process().children() if "memos_mcp.qdrant.edge.worker" in child.cmdline()]
        host.kill()
        page = await ask(app, "ferry")
        assert [hit.memory.content for hit in page.hits] == [FERRY.content]
        await until_whole(app)
        await assert_found_by_meaning(app)


@pytest.fixture
async def postgres(tmp_path: Path, home_template: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that the app does not own. Its path is short, so that its address stays the same."""
    server = EmbeddedPostgres(copy_home(home_template / "postgres", tmp_path / "pg"))
    yield server
    await server.stop()


async def test_every_tool_asks_to_repeat_the_call_without_postgres_and_works_later(
    home: Path, postgres: EmbeddedPostgres
) -> None:
    async with wait_until_opened(home, await postgres.start(), wait=5) as app:
        assert (await app.memories.store(SCOPE, FERRY)).indexed
        async with Client(build_server(app, SCOPE)) as client:
            await postgres.stop()
            with anyio.fail_after(20):
                for tool, arguments in CALLS:
                    assert not await succeeds(client, tool, arguments)
            assert (await app.readiness())["postgres"] != "ok"
            await postgres.start()
            for tool, arguments in CALLS:
                await until(partial(succeeds, client, tool, arguments))
        await until_whole(app)
        await assert_found_by_meaning(app)


async def test_an_embedded_postgres_that_is_stopped_restarts_by_itself(home: Path, home_template: Path) -> None:
    copy_home(home_template / "postgres", home / "postgres")
    async with wait_until_opened(home, None, wait=5) as app:
        assert (await app.memories.store(SCOPE, FERRY)).indexed
        os.kill(int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)

        async def stored() -> bool:
            try:
                await app.memories.store(SCOPE, NewMemory("The harbour café opens at six."))
            except StoreUnavailable:
                return False
            return True

        await until(stored)
        page = await app.memories.query(SCOPE, MemoryQuery())
        assert page.total == 2
        await until_whole(app)
        await assert_found_by_meaning(app)


async def test_queries_are_degraded_to_words_without_a_model_and_recover_after_a_restart_with_one(
    home: Path, database_url: str
) -> None:
    async with wait_until_opened(home, database_url, embedding_model="no/such-model") as app:
        stored = await app.memories.store(SCOPE, FERRY)
        assert (stored.created, stored.indexed) == (True, False)
        page = await ask(app, "ferry")
        assert [hit.memory.content for hit in page.hits] == [FERRY.content]
        assert page.degraded is not None
        assert "model" in page.degraded
        listed = await app.memories.query(SCOPE, MemoryQuery(filter=MemoryFilter(agent_id="default")))
        assert (listed.total, listed.degraded) == (1, None)
    async with wait_until_opened(home, database_url) as app:
        await until_whole(app)
        await assert_found_by_meaning(app)
        assert not (await app.memories.store(SCOPE, FERRY)).created


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("store_memory", {"content": "The island has a lighthouse."}),
    ("query_memory", {"query": "ferry"}),
    ("query_memory", {}),
    ("register_tool", {"tool_id": "a", "name": "a", "description": "a", "endpoint_url": "https://example.org"}),
    ("discover_tools", {"query": "forecast"}),
    ("discover_tools", {}),
]


@asynccontextmanager
async def wait_until_opened(home: Path, url: str | None, *, wait: float = 0.2, **changes: Any) -> AsyncIterator[App]:
    """Open the real app, with its own embedded Postgres unless a URL is given."""
    database_url = None if url is None else SecretStr(url)
    async with open_app(Settings(home=home, database_url=database_url, index_wait_seconds=wait, **changes)) as app:
        yield app


async def succeeds(client: Client, tool: str, arguments: dict[str, Any]) -> bool:
    """Return whether a call succeeds; an error must say that the call can be repeated."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        assert isinstance(answer.content[0], TextContent)
        assert "Repeat the call" in answer.content[0].text
    return not answer.is_error


async def ask(app: App, question: str) -> MemoryPage:
    with anyio.fail_after(10):
        return await app.memories.query(SCOPE, MemoryQuery(question))


async def until_whole(app: App) -> None:
    """Wait until answers are not degraded and the index queue is empty."""

    async def whole() -> bool:
        return (await ask(app, "ferry")).degraded is None and not any((await app.queue.state()).depth.values())

    await until(whole)


async def assert_found_by_meaning(app: App) -> None:
    page = await ask(app, SAILING)
    assert FERRY.content in [hit.memory.content for hit in page.hits]
    assert page.degraded is None
    assert (await app.readiness()) == {"postgres": "ok", "index": "ok"}
