from pathlib import Path
from shutil import rmtree

import anyio
import pytest

from memos_mcp.ingest.files.watch import change_rules, changes

pytestmark = pytest.mark.anyio


async def test_a_burst_of_changes_is_reported_without_what_git_writes(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / ".git").mkdir()
    reported: set[str] = set()
    watching = anyio.Event()

    async def listen() -> None:
        async for burst in changes(tmp_path):
            reported.update(burst)
            watching.set()
            if "src/done.py" in reported:
                return

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await _touch_until(tmp_path / "first.py", watching)
            (tmp_path / ".git" / "objects").write_text("x")
            (tmp_path / ".git" / "index").write_text("x")
            (tmp_path / "src" / "a.py").write_text("x")
            (tmp_path / "src" / "a.py").unlink()
            (tmp_path / "src" / "done.py").write_text("x")

    assert {"first.py", "src/done.py"} <= reported
    assert {path for path in reported if path.startswith(".git")} <= {".git/index"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/a.py", False),
        ("src/git/index", False),
        (".gitignore", True),
        ("src/.gitignore", True),
        ("src/.memosignore", True),
        (".git/index", True),
        ("lib/.git/HEAD", True),
        (".git/info/exclude", True),
        (".", True),
    ],
)
def test_a_change_of_rules_is_recognized_by_its_path(path: str, expected: bool) -> None:
    assert change_rules(["src/b.py", path]) is expected


async def test_watching_ends_when_the_folder_is_deleted(tmp_path: Path) -> None:
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
    """Change a file repeatedly until the watch, which takes a moment to start, has reported it."""
    text = ""
    while not seen.is_set():
        text += "x"
        await anyio.Path(file).write_text(text)
        with anyio.move_on_after(1):
            await seen.wait()
