"""A data folder of an older PostgreSQL is upgraded, and kept; one that cannot be upgraded is not touched."""

import fcntl
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded import older_programs
from memos_mcp.postgres.embedded.bundled_programs import bundled_programs, bundled_version
from memos_mcp.postgres.embedded.cluster import Cluster
from memos_mcp.postgres.embedded.data_folder import build_next, finish_replacement, major_version
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from tests.conftest import SETTINGS
from tests.postgres.record_rows import populate, record_rows
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

DEBIAN = Path("/usr/lib/postgresql/15/bin")
OLD = [pytest.param(16, id="bundled 16")] + (
    [pytest.param(15, id="Debian's 15", marks=pytest.mark.slow)] if DEBIAN.exists() else []
)

START = """
import anyio, sys
from pathlib import Path
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

anyio.run(EmbeddedPostgres(Path(sys.argv[1])).start)
"""


def programs(major: int) -> Path:
    return bundled_programs(major) or DEBIAN


@asynccontextmanager
async def served(cluster: Cluster) -> AsyncIterator[str]:
    """Yield the URL of a cluster's database."""
    address = await anyio.to_thread.run_sync(cluster.start)
    try:
        yield address.format(database="memos")
    finally:
        await anyio.to_thread.run_sync(cluster.stop)


async def make_old_folder(folder: Path, major: int) -> dict[str, list[str]]:
    """Make the data folder that an older version would have; return its rows."""
    cluster = Cluster(folder / "data", SETTINGS, programs(major))
    async with served(cluster) as url:
        connection = await connect(url.replace("/memos?", "/postgres?"))
        await connection.execute("CREATE DATABASE memos TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        await connection.close(timeout=5)
        connection = await connect(url)
        await populate(connection)
        await connection.close(timeout=5)
        return await record_rows(url)


@pytest.fixture(scope="module")
def old_folder() -> Iterator[Path]:
    """A data folder of version 16 with rows, to copy."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        anyio.run(make_old_folder, Path(folder, "postgres"), 16)
        yield Path(folder, "postgres")


@pytest.fixture
def folder(home: Path, old_folder: Path) -> Path:
    return copy_home(old_folder, home / "postgres")


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("data-postgresql-*"))


@pytest.mark.parametrize("major", OLD)
async def test_a_data_folder_of_an_older_version_is_upgraded_and_kept(home: Path, major: int) -> None:
    folder = home / "postgres"
    rows = await make_old_folder(folder, major)
    database = Database(EmbeddedPostgres(folder, settings=SETTINGS))
    assert (await database.server_version()).startswith(f"{bundled_version()}.")
    async with database.everything.connection() as connection:
        lower = await connection.fetchval("SELECT lower('ÄΣ')")
    await database.close()

    async with served(Cluster(folder / "data", SETTINGS)) as url:
        assert await record_rows(url) == rows
    assert lower == "äσ"
    assert [major_version(path) for path in kept(folder)] == [major]
    async with served(Cluster(kept(folder)[0], SETTINGS, programs(major))) as url:
        assert await record_rows(url) == rows


async def test_a_cluster_without_a_database_is_upgraded(folder: Path) -> None:
    async with served(Cluster(folder / "data", SETTINGS, programs(16))) as url:
        connection = await connect(url.replace("/memos?", "/postgres?"))
        await connection.execute("DROP DATABASE memos")
        await connection.close(timeout=5)
    database = Database(EmbeddedPostgres(folder, settings=SETTINGS))
    assert (await database.server_version()).startswith(f"{bundled_version()}.")
    await database.close()


async def test_an_upgrade_without_the_old_programs_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("14\n")
    monkeypatch.setattr(older_programs, "FOLDERS", ())
    database = Database(EmbeddedPostgres(home / "postgres", old_programs=home))
    with pytest.raises(StoreUnavailable, match=r"made by PostgreSQL 14.*MEMOS_OLD_POSTGRES.*restore FILE --replace"):
        await database.server_version()
    await database.close()
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_the_programs_of_a_setting_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(older_programs, "FOLDERS", ())
    monkeypatch.setattr(older_programs, "bundled_programs", lambda _major: None)
    assert older_programs.find_programs(16, 18, programs(16)) == programs(16)
    with pytest.raises(StoreUnavailable, match="the programs of PostgreSQL 15 are there"):
        older_programs.find_programs(15, 18, programs(16))  # another version than the folder's


async def test_a_data_folder_of_a_newer_version_is_refused(home: Path) -> None:
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("99\n")
    database = Database(EmbeddedPostgres(home / "postgres"))
    with pytest.raises(StoreUnavailable, match=r"made by PostgreSQL 99.*Install the memos-as that made it"):
        await database.server_version()
    await database.close()


async def test_a_folder_that_another_process_uses_is_not_upgraded(folder: Path) -> None:
    with folder.with_name("postgres.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        database = Database(EmbeddedPostgres(folder, settings=SETTINGS))
        with pytest.raises(StoreUnavailable, match=r"Another process uses the data folder.*memos-as stop"):
            await database.server_version()
        await database.close()
    assert major_version(folder / "data") == 16
    assert kept(folder) == []


async def test_a_failed_copy_leaves_the_old_folder_in_use(folder: Path) -> None:
    async def fill(_url: str) -> None:
        raise StoreUnavailable("the copy failed")

    with pytest.raises(StoreUnavailable, match="the copy failed"):
        await build_next(folder / "data", SETTINGS, fill)
    assert [path.name async for path in anyio.Path(folder).iterdir()] == ["data"]


@pytest.mark.parametrize("moved", [False, True])
async def test_a_replacement_that_was_interrupted_is_finished(home: Path, moved: bool) -> None:
    data = home / "data"
    (home / "data.next").mkdir()
    (home / "data.next" / "PG_VERSION").write_text("18\n")
    if not moved:
        data.mkdir()
        (data / "PG_VERSION").write_text("15\n")
    former = finish_replacement(data)
    assert major_version(data) == 18
    assert (None if former is None else major_version(former)) == (None if moved else 15)
    assert finish_replacement(data) is None


@pytest.mark.slow
async def test_an_upgrade_that_is_killed_at_any_moment_loses_nothing(home: Path) -> None:
    original = home / "original"
    rows = await make_old_folder(original, 16)
    chance = Random(13)
    for number in range(12):
        folder = copy_home(original, home / f"round {number}" / "postgres")
        async with await anyio.open_process([sys.executable, "-c", START, str(folder)]) as run:
            with anyio.move_on_after(chance.uniform(0.5, 5.0)):
                await run.wait()
            with suppress(ProcessLookupError):
                run.send_signal(signal.SIGKILL)
        database = Database(EmbeddedPostgres(folder, settings=SETTINGS))
        with anyio.fail_after(60):
            assert (await database.server_version()).startswith(f"{bundled_version()}.")
        await database.close()
        async with served(Cluster(folder / "data", SETTINGS)) as url:
            assert await record_rows(url) == rows
        assert [major_version(path) for path in kept(folder)] == [16]
        assert not {"data.new", "data.next"} & {path.name for path in folder.iterdir()}
