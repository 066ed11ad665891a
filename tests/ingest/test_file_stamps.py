import os
import time
from pathlib import Path

import pytest

from memos_mcp.ingest.files.file_stamps import FileStamps, Stamp, stamp_of

HOUR = 3_600


def aged(file: Path, text: str, seconds: float = HOUR) -> Path:
    """Write a file that was last changed some time ago; the time of its inode is now."""
    file.write_text(text)
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))
    return file


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock be ahead of every file."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + HOUR * 1_000_000_000)


def stamped(file: Path) -> Stamp:
    stamp = stamp_of(file.stat())
    assert stamp is not None
    return stamp


@pytest.mark.usefixtures("later")
def test_a_stamp_changes_with_the_content_also_when_size_and_time_are_set_back(tmp_path: Path) -> None:
    file = aged(tmp_path / "a.py", "old")
    before, status = stamped(file), file.stat()
    assert stamped(file) == before
    file.write_text("new")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert stamped(file) != before
    assert stamped(file)[:2] == before[:2]


@pytest.mark.usefixtures("later")
def test_a_file_that_replaces_another_has_another_stamp(tmp_path: Path) -> None:
    before = stamped(aged(tmp_path / "a.py", "old"))
    aged(tmp_path / "b.py", "new").replace(tmp_path / "a.py")

    assert stamped(tmp_path / "a.py") != before


def test_a_file_that_may_change_again_within_a_tick_has_no_stamp(tmp_path: Path) -> None:
    assert stamp_of(aged(tmp_path / "a.py", "text").stat()) is None


def test_digests_are_known_for_the_same_stamp_only(tmp_path: Path) -> None:
    stamps = FileStamps(tmp_path / "stamps.json", "1")
    stamps.record("a.py", (1, 2, 3, 4), b"digest")
    stamps.record("b.py", None, b"digest")

    assert stamps.digest("a.py", (1, 2, 3, 4)) == b"digest"
    assert stamps.digest("a.py", (1, 2, 3, 5)) is None
    assert stamps.digest("a.py", None) is None
    assert stamps.digest("b.py", None) is None


def test_stamps_are_read_again_and_others_are_forgotten(tmp_path: Path) -> None:
    stamps = FileStamps.of_folder(tmp_path, tmp_path / "code", "1")
    stamps.record("a.py", (1, 2, 3, 4), b"\x00\xff")
    stamps.record("b.py", (1, 2, 3, 4), b"other")
    stamps.retain({"a.py"})
    stamps.save()
    again = FileStamps.of_folder(tmp_path, tmp_path / "code", "1")

    assert again.digest("a.py", (1, 2, 3, 4)) == b"\x00\xff"
    assert again.digest("b.py", (1, 2, 3, 4)) is None
    assert FileStamps.of_folder(tmp_path, tmp_path / "else", "1").digest("a.py", (1, 2, 3, 4)) is None
    assert FileStamps.of_folder(tmp_path, tmp_path / "code", "2").digest("a.py", (1, 2, 3, 4)) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"version": "1", "files": {"a.py": [1]}}', b"\xff", b"null"])
def test_a_damaged_file_of_stamps_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stamps.json").write_bytes(content)

    assert FileStamps(tmp_path / "stamps.json", "1").digest("a.py", (1, 2, 3, 4)) is None


def test_stamps_that_cannot_be_saved_cost_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ingest").write_text("a file where the folder belongs")
    stamps = FileStamps(tmp_path / "ingest/stamps.json", "1")
    stamps.record("a.py", (1, 2, 3, 4), b"digest")
    stamps.save()

    assert "were not saved" in caplog.text
