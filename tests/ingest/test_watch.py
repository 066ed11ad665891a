from pathlib import Path
from shutil import rmtree

import anyio
import pytest

from memos_mcp.ingest.watch import changes

pytestmark = pytest.mark.anyio


async def test_a_burst_of_changes_is_told_once_and_foreign_folders_never(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / ".git").mkdir()
    told: set[str] = set()
    watching = anyio.Event()

    async def listen() -> None:
        async for burst in changes(tmp_path):
            told.update(burst)
            watching.set()
            if "src/done.py" in told:
                return

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await _touch_until(tmp_path / "first.py", watching)
            (tmp_path / ".git" / "index").write_text("x")
            (tmp_path / "src" / "a.py").write_text("x")
            (tmp_path / "src" / "a.py").unlink()
            (tmp_path / "src" / "done.py").write_text("x")

    assert {"first.py", "src/done.py"} <= told
    assert not any(path.startswith(".git") for path in told)


async def test_it_ends_with_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    watching, ended = anyio.Event(), anyio.Event()

    async def listen() -> None:
        async for _ in changes(root):
            watching.set()
        ended.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await _touch_until(root / "first.py", watching)
            rmtree(root)
            await ended.wait()


async def _touch_until(file: Path, seen: anyio.Event) -> None:
    """Change a file again and again until the watch, which takes a moment to begin, has told of it."""
    text = ""
    while not seen.is_set():
        text += "x"
        await anyio.Path(file).write_text(text)
        with anyio.move_on_after(1):
            await seen.wait()
