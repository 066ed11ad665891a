"""The write-ahead log keeps nothing of what was erased, in whichever of its files it was."""

from pathlib import Path

import anyio
import pytest

from memos_mcp.domain.errors import Unavailable
from memos_mcp.postgres import erasures
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.erasures import PostgresErasures
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio


def log_files_with(word: bytes, folder: Path) -> list[str]:
    files = (folder / "data" / "pg_wal").iterdir()
    return sorted(path.name for path in files if path.is_file() and word in path.read_bytes())


async def test_segments_that_were_recycled_before_a_purge_are_emptied_too(home: Path, home_template: Path) -> None:
    folder = copy_home(home_template / "postgres", home / "postgres")
    database = Database(EmbeddedPostgres(folder))
    async with database.everything.connection() as connection:
        for _ in range(6):
            await connection.execute("SELECT pg_logical_emit_message(false, 'test', 'quixotic')")
            await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
    assert len(log_files_with(b"quixotic", folder)) > 2
    with anyio.fail_after(60):
        assert await PostgresErasures(database).purge()
    await database.close()
    assert log_files_with(b"quixotic", folder) == []


async def test_a_log_that_others_fill_is_reported_and_recycled_again(
    home: Path, home_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "MAX_SEGMENTS", 1)
    database = Database(EmbeddedPostgres(copy_home(home_template / "postgres", home / "postgres")))
    with pytest.raises(Unavailable, match="Repeat it when they pause: memos-as purge"):
        await PostgresErasures(database).purge()
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT purged_at FROM index_log") is None
        assert await connection.fetchval("SELECT count(*) FROM pg_file_settings WHERE name = 'wal_recycle'") == 0
    await database.close()
