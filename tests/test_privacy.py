"""Other users can neither read the files that the program writes nor connect to its socket."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.raw_clients import StdioRawClient
from tests.acceptance.servers import Server
from tests.server_environment import server_environment

READ_BY_OTHERS = 0o044
WRITTEN_BY_OTHERS = 0o022


@pytest.fixture(autouse=True)
def permissive_umask() -> Iterator[None]:
    """Let child processes create files that everybody can read, unless they prevent it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_no_other_user_can_read_or_write_in_the_home(home: Path) -> None:
    home /= "new"
    subprocess.run(
        [sys.executable, "-m", "memos_mcp", "doctor"],
        env=server_environment(MEMOS_HOME=home),
        check=True,
        timeout=60,
    )
    paths = [home, *home.iterdir()]
    assert {"index", "postgres", "postgres.lock"} <= {path.name for path in paths}
    assert open_to_others(paths) == []


@pytest.mark.anyio
async def test_no_other_user_can_reach_the_engine_or_read_its_log(home: Path) -> None:
    server = Server(home / "new")
    try:
        await StdioRawClient(server).open()
        paths = [server.home, *server.home.iterdir(), *server.home.glob("run/*"), *server.home.glob("logs/*")]
        assert {"run", "engine.sock", "engine.lock", "logs", "engine.log"} <= {path.name for path in paths}
        assert open_to_others(paths) == []
    finally:
        server.stop()


def open_to_others(paths: list[Path]) -> list[str]:
    return [path.name for path in paths if path.stat().st_mode & (READ_BY_OTHERS | WRITTEN_BY_OTHERS)]
