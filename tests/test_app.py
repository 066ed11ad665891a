"""The lifetime of the app when waiting is useless."""

from pathlib import Path

import anyio
import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.migrate import MigrationDrift
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder

pytestmark = pytest.mark.anyio


async def app_on_a_newer_database(url: str, home: Path) -> App:
    connection = await connect(url)
    await connection.execute("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later', '')")
    await connection.close(timeout=5)
    return compose(Settings(home=home), Database(url), EdgeIndex(home / "index", 1_000), HashEmbedder())


async def test_an_app_on_a_newer_database_version_stops_with_a_single_error(database_url: str, tmp_path: Path) -> None:
    app = await app_on_a_newer_database(database_url, tmp_path)
    with anyio.fail_after(20), pytest.raises(MigrationDrift, match="9999_later"):
        async with running(app):
            await anyio.sleep_forever()


async def test_readiness_reports_a_newer_database_version(database_url: str, tmp_path: Path) -> None:
    app = await app_on_a_newer_database(database_url, tmp_path)
    assert "9999_later" in (await app.readiness())["postgres"]
    await app.close()
