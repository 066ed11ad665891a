"""What the program leaves on the disk is nobody else's to read, and its socket nobody else's to reach."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.raw_clients import StdioRawClient
from tests.acceptance.servers import Server

READ_BY_OTHERS = 0o044
WRITTEN_BY_OTHERS = 0o022


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """What this process starts would let everybody read its files, unless it takes care."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_no_other_user_can_read_or_write_in_the_home(home: Path) -> None:
    home /= "new"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_")}
    subprocess.run(
        [sys.executable, "-m", "memos_mcp", "doctor"], env={**kept, "MEMOS_HOME": str(home)}, check=True, timeout=60
    )
    left = [home, *home.iterdir()]
    assert {"index", "models", "postgres", "postgres.lock"} <= {path.name for path in left}
    assert open_to_others(left) == []


@pytest.mark.anyio
async def test_no_other_user_can_reach_the_engine_or_read_its_log(home: Path) -> None:
    server = Server(home / "new")
    try:
        await StdioRawClient(server).open()
        left = [server.home, *server.home.iterdir(), *server.home.glob("run/*"), *server.home.glob("logs/*")]
        assert {"run", "engine.sock", "engine.lock", "logs", "engine.log"} <= {path.name for path in left}
        assert open_to_others(left) == []
    finally:
        server.stop()


def open_to_others(paths: list[Path]) -> list[str]:
    return [path.name for path in paths if path.stat().st_mode & (READ_BY_OTHERS | WRITTEN_BY_OTHERS)]
