"""An app on a real Postgres and a real embedded index, with a model that is small and counts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def index(tmp_path: Path) -> DownIndex:
    """The embedded index, which a test can take down and bring back."""
    return DownIndex(EdgeIndex(tmp_path / "index", hnsw_threshold=1_000), down=False)


@pytest.fixture
def idle_app(tmp_path: Path, database: Database, index: DownIndex, embedder: HashEmbedder) -> App:
    """An app whose indexer does not run yet."""
    return compose(Settings(home=tmp_path, index_wait_seconds=5), database, index, embedder)


@pytest.fixture
async def app(idle_app: App) -> AsyncIterator[App]:
    """An app whose indexer has seen that there is nothing to do; before, answers say that the index is catching up."""
    async with running(idle_app):
        await caught_up(idle_app)
        yield idle_app
