"""The embedded server is shared by processes and stopped by the last."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import psutil
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded import shared_server
from memos_mcp.postgres.embedded.cluster import Cluster
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

USER = """
import anyio, sys
from pathlib import Path
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

async def main():
    database = Database(EmbeddedPostgres(Path(sys.argv[1])))
    for line in sys.stdin:
        await (database.close() if line == "close\\n" else database.server_version())
        print("done", flush=True)

anyio.run(main)
"""


class User:
    """Another process that uses the server."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def does(self, word: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(f"{word}\n".encode())
        with anyio.fail_after(30):
            assert await self._answers.receive_until(b"\n", 100) == b"done"


@pytest.fixture
def folder(home: Path, home_template: Path) -> Path:
    """A data folder with the database, of which no server runs."""
    return copy_home(home_template / "postgres", home / "postgres")


@asynccontextmanager
async def user(folder: Path) -> AsyncIterator[User]:
    async with await anyio.open_process([sys.executable, "-c", USER, str(folder)], stderr=None) as process:
        yield User(process)
        if process.returncode is None:
            process.kill()


def runs(folder: Path) -> bool:
    return (folder / "data" / "postmaster.pid").exists()


async def test_the_last_user_stops_the_server(home: Path) -> None:
    folder = home / "a home" / "postgres"
    async with user(folder) as first, user(folder) as second:
        async with anyio.create_task_group() as tasks:  # both find an empty folder
            tasks.start_soon(first.does, "ask")
            tasks.start_soon(second.does, "ask")
        await first.does("close")
        assert runs(folder)
        await second.does("ask")
        await second.does("close")
        assert not runs(folder)


async def test_the_path_of_a_home_may_hold_any_sign(home: Path) -> None:
    name = """it's "50%" $HOME, `id` & %s%20{x}#é \\"""
    database = Database(EmbeddedPostgres(home / name / "postgres"))
    for _ in range(2):  # the second start finds the folder of the first
        assert await database.server_version()
        await database.close()
    assert not runs(home / name / "postgres")


async def test_a_home_with_a_line_break_in_its_path_is_refused_with_what_to_do(home: Path) -> None:
    database = Database(EmbeddedPostgres(home / "two\nlines" / "postgres"))
    with pytest.raises(StoreUnavailable, match=r"a line break\. Set MEMOS_HOME to a folder without one"):
        await database.server_version()
    await database.close()


async def test_a_user_that_is_killed_neither_stops_the_server_nor_keeps_it(folder: Path) -> None:
    async with user(folder) as killed, user(folder) as other:
        await killed.does("ask")
        await other.does("ask")
        killed.process.kill()
        await killed.process.wait()
        await other.does("ask")
        await other.does("close")
        assert not runs(folder)

        await other.does("ask")
        other.process.kill()
        await other.process.wait()
    assert runs(folder)
    database = Database(EmbeddedPostgres(folder))
    await database.server_version()
    await database.close()
    assert not runs(folder)


@pytest.mark.parametrize("everything", [False, True])
async def test_a_first_start_that_is_killed_leaves_a_folder_in_which_the_next_one_works(
    home: Path, everything: bool
) -> None:
    folder = home / "postgres"
    async with user(folder) as killed:
        assert killed.process.stdin is not None
        await killed.process.stdin.send(b"ask\n")
        with anyio.fail_after(30):
            while not list(folder.glob("data*/PG_VERSION")):
                await anyio.lowlevel.checkpoint()
        programs = psutil.Process(killed.process.pid).children(recursive=True)
        killed.process.kill()
        for program in programs if everything else ():
            with suppress(psutil.NoSuchProcess):  # each step of initdb is a process of its own, soon over
                program.kill()
    database = Database(EmbeddedPostgres(folder))
    for _ in range(2):
        await database.server_version()
        await database.close()
    with anyio.fail_after(30):
        await anyio.to_thread.run_sync(psutil.wait_procs, programs)
    await database.server_version()
    await database.close()
    assert [path.name for path in folder.iterdir()] == ["data"]


async def test_a_server_that_another_pg_ctl_starts_at_the_same_moment_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_server = Cluster._run_server

    def run_two(cluster: Cluster) -> None:
        run_server(cluster)
        run_server(cluster)

    monkeypatch.setattr(Cluster, "_run_server", run_two)
    database = Database(EmbeddedPostgres(folder))
    assert await database.server_version()
    await database.close()
    assert not runs(folder)


async def test_a_start_waits_for_a_stop_in_progress(home: Path, folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    started = anyio.Event()

    async def start() -> None:
        await server.start()
        started.set()

    stopping = shared_server._locked(home / "postgres.lock", exclusive=True, seconds=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        with anyio.move_on_after(0.2):
            await started.wait()
        assert not started.is_set()
        assert not runs(folder)
        stopping.close()
    assert started.is_set()
    await server.stop()


async def test_a_stale_pid_of_another_program_does_not_keep_the_server_from_starting(folder: Path) -> None:
    database = Database(EmbeddedPostgres(folder))
    await database.server_version()
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    await database.close()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    await database.server_version()
    await database.close()
    assert not runs(folder)


def is_private_folder(path: str) -> bool:
    folder = Path(path)
    return folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root runs Postgres as another user")
async def test_a_folder_that_becomes_traversable_for_roots_postgres_is_logged(
    home: Path, home_template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    database = Database(EmbeddedPostgres(copy_home(home_template / "postgres", closed / "postgres")))
    for _ in range(2):
        await database.server_version()
        await database.close()
    assert caplog.text.count(f"{closed} can now be traversed by all users") == 1


async def test_the_lock_files_of_a_killed_server_do_not_keep_the_next_one_from_starting(folder: Path) -> None:
    database = Database(EmbeddedPostgres(folder))
    user = "pgserver" if os.geteuid() == 0 else None  # as the server, which may signal its own processes only
    with subprocess.Popen(["sleep", "0"], user=user) as zombie:  # noqa: ASYNC220  # anyio would reap it
        while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
            await anyio.lowlevel.checkpoint()
        for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (folder / "data" / lock).write_text(f"{zombie.pid}\n{folder / 'data'}\n")
        with anyio.fail_after(30):
            assert await database.server_version()
        await database.close()


async def test_the_server_is_durable_private_and_knows_every_alphabet(home: Path, home_template: Path) -> None:
    folder = copy_home(home_template / "postgres", home / ("a very long name " * 8) / "postgres")
    database = Database(EmbeddedPostgres(folder))
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT name, setting FROM pg_settings")
        assert await connection.fetchval("SELECT lower('ÄÉЖΩ')") == "äéжω"
        assert await connection.fetchval("SELECT to_tsvector('english', 'ÄRGER') @@ any_word_of('ärger')")
    settings = {row["name"]: row["setting"] for row in rows}
    assert [settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
    assert (settings["listen_addresses"], settings["unix_socket_permissions"]) == ("", "0700")
    sockets = settings["unix_socket_directories"].strip('"')
    assert is_private_folder(sockets)
    await database.close()
    assert not is_private_folder(sockets)
