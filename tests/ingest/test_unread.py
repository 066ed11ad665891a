"""What cannot be read now is not taken for deleted: faults are injected into the calls, and made by the system."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from memos_mcp.domain.errors import SourceUnavailable
from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, walk
from memos_mcp.ingest.reading import SourceText, read
from tests.ingest.git_trees import found, repository, write

FAULTS = [
    errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOTCONN,
    errno.ETIMEDOUT, errno.EINTR,
]  # fmt: skip


def failing(call: Callable[..., object], name: str, number: int) -> Callable[..., object]:
    """Return a call of the system that fails for paths of this name."""

    def fail(path: Any, *arguments: object, **options: object) -> object:
        if not isinstance(path, int) and Path(path).name == name:
            raise OSError(number, os.strerror(number), str(path))
        return call(path, *arguments, **options)

    return fail


def unread(root: Path) -> dict[str, str]:
    return {entry.path: entry.error for entry in walk(root) if isinstance(entry, Skipped) and entry.transient}


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
def test_a_folder_that_cannot_be_listed_is_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write(tmp_path, "bad/a.py", "good/b.py")
    monkeypatch.setattr(os, "scandir", failing(os.scandir, "bad", number))

    assert unread(tmp_path) == {"bad/": os.strerror(number)}
    assert found(tmp_path) == {"good/b.py"}


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: errno.errorcode[number])
def test_a_file_that_cannot_be_opened_is_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write(tmp_path, "a.py")
    (entry,) = [entry for entry in walk(tmp_path) if isinstance(entry, FoundFile)]
    monkeypatch.setattr(os, "open", failing(os.open, "a.py", number))

    assert read(entry) == Skipped("a.py", SkipReason.UNREADABLE, transient=True, error=os.strerror(number))


def test_a_file_whose_read_fails_halfway_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.py")
    (entry,) = [entry for entry in walk(tmp_path) if isinstance(entry, FoundFile)]
    fstat, calls = os.fstat, iter(range(10))

    def fail(descriptor: int) -> os.stat_result:
        if next(calls) > 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return fstat(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        answer = read(entry)
    assert isinstance(answer, Skipped)
    assert (answer.transient, answer.error) == (True, "Input/output error")


def test_patterns_that_cannot_be_read_make_their_folder_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a/secret.log", "b/c.py")
    write(tmp_path, "a/.gitignore", text="*.log\n")
    real = Path.lstat

    def fail(path: Path) -> os.stat_result:
        if path == tmp_path / "a/.gitignore":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(Path, "lstat", fail)
    assert list(unread(tmp_path)) == ["a/"]
    assert found(tmp_path) == {"b/c.py"}


def test_a_root_that_cannot_be_listed_raises_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing(os.scandir, tmp_path.name, errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        list(walk(tmp_path))


def test_what_is_deleted_during_the_run_is_not_transient(tmp_path: Path) -> None:
    write(tmp_path, "a/deep/b.py", "c.py")
    entries = iter(walk(tmp_path))
    assert next(entries).path == "c.py"
    rmtree(tmp_path / "a")

    assert list(entries) == [Skipped("a/", SkipReason.VANISHED)]
    rest = FoundFile("a/deep/b.py", tmp_path / "a/deep/b.py", tmp_path.stat().st_dev)
    assert read(rest) == Skipped("a/deep/b.py", SkipReason.VANISHED)


def test_a_missing_file_on_a_device_that_is_no_longer_there_is_transient(tmp_path: Path) -> None:
    entry = FoundFile("data/a.py", tmp_path / "data/a.py", tmp_path.stat().st_dev + 1)

    answer = read(entry)
    assert isinstance(answer, Skipped)
    assert answer.transient


def test_a_root_that_is_replaced_during_the_walk_raises_an_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.py", "b.py")
    walked = walk(root)
    entries = iter(walked)
    next(entries)
    root.rename(tmp_path / "other")
    root.mkdir()

    with pytest.raises(SourceUnavailable, match="was replaced by another folder"):
        list(entries)


def test_a_path_that_is_too_long_is_transient(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(20):  # deeper than a path can name
            os.mkdir("d" * 250, dir_fd=descriptor)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        assert list(unread(tmp_path).values()) == [os.strerror(errno.ENAMETOOLONG)]
    finally:
        os.close(descriptor)


def test_too_many_open_files_make_files_transient(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    (entry,) = [entry for entry in walk(tmp_path) if isinstance(entry, FoundFile)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        answer = read(entry)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert answer == Skipped("a.py", SkipReason.UNREADABLE, transient=True, error="Too many open files")
    assert isinstance(read(entry), SourceText)


def test_too_many_open_files_end_a_walk_that_needs_git(tmp_path: Path) -> None:
    repository(tmp_path, "a.py")
    code = (
        "import resource, sys, pathlib; from memos_mcp.ingest.files.walk import walk; "
        "from memos_mcp.domain.errors import SourceUnavailable\n"
        "walked = walk(pathlib.Path(sys.argv[1])); resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))\n"
        "try: list(walked)\n"
        "except (SourceUnavailable, OSError) as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert "Too many open files" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_mount_that_vanishes_during_the_run_is_transient(tmp_path: Path) -> None:
    mounted = tmp_path / "root/mounted"
    write(tmp_path / "root", "z.py")
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "none", mounted], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this system does not let root mount")
    try:
        write(mounted, "a/b.py", "c.py")
        entries = [entry for entry in walk(tmp_path / "root") if isinstance(entry, FoundFile)]
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)

    answers = {entry.path: read(entry) for entry in entries}
    kept = [path for path, answer in answers.items() if isinstance(answer, Skipped) and answer.transient]
    assert kept == ["mounted/c.py", "mounted/a/b.py"]
