"""Runs commands of memos-as in processes that are forked from one which has imported the program already.

The imports are most of the processor time of a short command. The command has an environment, a folder, arguments and
files of its own, its exit code and its signals, as when a shell starts it; what differs is only how its process begins.
Tests of that, of the encoding of the output or of a file that is closed start the real program.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from struct import Struct
from tempfile import TemporaryFile, mkdtemp
from typing import Any, NoReturn

from tests.server_environment import server_environment

ROOT = Path(__file__).parents[1]
FILES = 3
"""stdin, stdout and stderr."""

NUMBER = Struct("!i")
"""The form of a process id, and then of an exit code."""


@dataclass
class Command:
    """A command that was started."""

    pid: int
    args: tuple[str, ...]
    _replies: socket.socket
    returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative for a signal; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._replies.settimeout(timeout)
            try:
                self.returncode = NUMBER.unpack(self._replies.recv(NUMBER.size))[0]
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._replies.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code if the command has ended."""
        with suppress(subprocess.TimeoutExpired, BlockingIOError):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[object],
    environment: Mapping[str, str],
    files: Sequence[int],
    *,
    cwd: Path | None = None,
    terminal: bool = False,
) -> Command:
    """Start a command with these descriptors as stdin, stdout and stderr; on a terminal, the first controls it."""
    words = tuple(map(str, arguments))
    request = {"arguments": words, "environment": dict(environment), "cwd": str(cwd or Path.cwd()), "tty": terminal}
    replies = socket.socket(socket.AF_UNIX)
    replies.connect(address())
    socket.send_fds(replies, [b"+"], files)
    replies.sendall(json.dumps(request).encode())
    replies.shutdown(socket.SHUT_WR)
    (pid,) = NUMBER.unpack(replies.recv(NUMBER.size))
    return Command(pid, ("memos-as", *words), replies)


def run(
    arguments: Sequence[object],
    environment: Mapping[str, str],
    *,
    timeout: float,
    cwd: Path | None = None,
    input: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Run a command with files as stdin, stdout and stderr; return it when it has ended."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(input.encode())
        stdin.seek(0)
        command = start(arguments, environment, [file.fileno() for file in (stdin, stdout, stderr)], cwd=cwd)
        try:
            code = command.wait(timeout)
        finally:
            command.kill()
            command.wait()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command.args, code, stdout.read().decode(), stderr.read().decode())


@cache
def address() -> str:
    """Return the path of the socket of a process that starts commands until this one ends."""
    folder = mkdtemp(prefix="memos-test-")
    atexit.register(rmtree, folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", f"{folder}/socket"],
        cwd=ROOT,
        env=server_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests
    )
    atexit.register(process.communicate)  # closes its stdin, which ends it
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    return f"{folder}/socket"


def _serve(path: str) -> None:
    """Fork a process for each connection, which starts the command and reports how it ends."""
    import memos_mcp.app
    import memos_mcp.cli.command_line
    import memos_mcp.cli.opened_record
    import memos_mcp.engine.run
    import memos_mcp.tool_calling.mcp_caller  # noqa: F401  # what commands import when they run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forked processes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        os.write(1, b"!")
        while 0 not in select.select([0, listener.fileno()], [], [])[0]:
            replies, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _report(replies)
            replies.close()


def _report(replies: socket.socket) -> NoReturn:
    """Start the command; send its process id, then its exit code."""
    with replies:
        files = socket.recv_fds(replies, 1, FILES)[1]
        request = json.loads(b"".join(iter(lambda: replies.recv(1 << 16), b"")))
        pid = os.fork()
        if pid == 0:
            replies.close()
            _run(files, **request)
        for descriptor in (0, 1, *files):
            os.close(descriptor)
        replies.sendall(NUMBER.pack(pid))
        replies.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _run(files: list[int], *, arguments: list[str], environment: dict[str, str], cwd: str, tty: bool) -> NoReturn:
    """Be the command."""
    from memos_mcp.cli.command_line import main

    code: Any = 1
    try:
        if tty:
            os.login_tty(files[0])
        else:
            for target, descriptor in enumerate(files):
                os.dup2(descriptor, target)
        os.closerange(FILES, max(files) + 1)
        sys.argv = ["memos-as", *arguments]
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        time.tzset()
        sys.stdin, sys.stdout, sys.stderr = (
            open(descriptor, mode, errors=errors, buffering=1, closefd=False)  # noqa: SIM115  # as the interpreter opens them
            for descriptor, mode, errors in ((0, "r", "strict"), (1, "w", "strict"), (2, "w", "backslashreplace"))
        )
        code = main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  # what the interpreter does with it
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _serve(sys.argv[1])
