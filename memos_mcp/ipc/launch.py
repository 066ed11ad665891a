"""Starts an engine that outlives the process that starts it."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from memos_mcp.ipc.run_dir import RunDir

STDIN, STDOUT, STDERR = range(3)

LISTENING: Final = b"!"
"""What the engine writes to its `--ready` file descriptor once it listens."""

_MESSAGE_PREFIX: Final = "memos-as: "


class EngineLaunch:
    """An engine that is starting. `ready` becomes readable when it listens, and when it has exited."""

    def __init__(self, run_dir: RunDir, environment: Mapping[str, str]) -> None:
        os.makedirs(os.path.dirname(run_dir.log), mode=0o700, exist_ok=True)
        self._log = run_dir.log
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._log_start = os.fstat(log).st_size
            self.ready = _spawn(log, run_dir.home, {**environment, "MEMOS_HOME": run_dir.home})
        finally:
            os.close(log)

    def listens(self) -> bool:
        """Return, when `ready` is readable, whether the engine listens. It has exited otherwise."""
        return os.read(self.ready, 1) == LISTENING

    def reason(self) -> str | None:
        """Return why the engine has exited, from its last message in the log."""
        with suppress(OSError), open(self._log, encoding="utf-8", errors="replace") as log:
            log.seek(self._log_start)
            messages = [line for line in log if line.startswith(_MESSAGE_PREFIX)]
            return messages[-1].removeprefix(_MESSAGE_PREFIX).strip() if messages else None
        return None

    def close(self) -> None:
        """Close `ready`. The engine keeps running."""
        os.close(self.ready)


def _spawn(log: int, home: str, environment: Mapping[str, str]) -> int:
    """Start an engine in its own session, detached from this process: clients kill their children's process trees.

    Return the read end of a pipe; the engine holds the write end.
    """
    ready, ready_writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _exec_engine(log, ready_writer, home, environment)
        except OSError as error:
            os.write(log, f"{_MESSAGE_PREFIX}{sys.executable} cannot be run: {error.strerror}\n".encode())
        finally:
            os._exit(1)
    os.close(ready_writer)
    with suppress(ChildProcessError):  # a process that ignores SIGCHLD, which may be inherited, cannot wait for it
        os.waitpid(child, 0)
    return ready


def _exec_engine(log: int, ready_writer: int, home: str, environment: Mapping[str, str]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, STDIN), (log, STDOUT), (log, STDERR)):
        os.dup2(source, target)
    _close_others(ready_writer)
    os.set_inheritable(ready_writer, True)  # noqa: FBT003  # takes no keywords
    os.chdir(home)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the engine waits for its own children
    command = [sys.executable, "-P", "-m", "memos_mcp", "engine", "--ready", str(ready_writer)]
    os.execve(command[0], command, dict(environment))  # noqa: S606  # our own program, without a shell


def _close_others(kept: int) -> None:
    """Close the file descriptors that a client leaks to its children: the engine would hold them for hours."""
    for name in os.listdir("/dev/fd"):
        if (descriptor := int(name)) > STDERR and descriptor != kept:
            with suppress(OSError):
                os.close(descriptor)
