"""Starts an engine that outlives who starts it."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from memos_mcp.ipc.run_dir import RunDir

STDIN, STDOUT, STDERR = range(3)

LISTENING: Final = b"!"
"""What the engine writes to its `--ready` descriptor once it listens."""

_OWN_WORDS: Final = "memos-as: "


class EngineLaunch:
    """An engine that is starting. `ready` becomes readable when it listens, and when it is gone."""

    def __init__(self, place: RunDir, environment: Mapping[str, str]) -> None:
        os.makedirs(os.path.dirname(place.log), mode=0o700, exist_ok=True)
        self.logger = place.log
        log = os.open(self.logger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._told_before = os.fstat(log).st_size
            self.ready = _orphan(log, place.home, {**environment, "MEMOS_HOME": place.home})
        finally:
            os.close(log)

    def listens(self) -> bool:
        """Tell, when `ready` is readable, whether the engine listens or is gone."""
        return os.read(self.ready, 1) == LISTENING

    def reason(self) -> str | None:
        """Return the engine's own words, in its log, on why it has ended."""
        with suppress(OSError), open(self.logger, encoding="utf-8", errors="replace") as log:
            log.seek(self._told_before)
            said = [line for line in log if line.startswith(_OWN_WORDS)]
            return said[-1].removeprefix(_OWN_WORDS).strip() if said else None
        return None

    def close(self) -> None:
        """Let go of the descriptor; the engine lives on."""
        os.close(self.ready)


def _orphan(log: int, home: str, environment: Mapping[str, str]) -> int:
    """Start an engine in a session of its own, and as nobody's child: clients end their children's whole trees.

    Return a descriptor that the engine holds the other end of.
    """
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _become_engine(log, tell, home, environment)
        except OSError as error:
            os.write(log, f"{_OWN_WORDS}{sys.executable} cannot be run: {error.strerror}\n".encode())
        finally:
            os._exit(1)
    os.close(tell)
    with suppress(ChildProcessError):  # who ignores its children's ends is told of none, and we may have that from it
        os.waitpid(child, 0)
    return ready


def _become_engine(log: int, tell: int, home: str, environment: Mapping[str, str]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, STDIN), (log, STDOUT), (log, STDERR)):
        os.dup2(source, target)
    _close_others(tell)
    os.set_inheritable(tell, True)  # noqa: FBT003  # takes no names
    os.chdir(home)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the engine waits for children of its own
    command = [sys.executable, "-P", "-m", "memos_mcp", "engine", "--ready", str(tell)]
    os.execve(command[0], command, dict(environment))  # noqa: S606  # our own program, without a shell


def _close_others(kept: int) -> None:
    """Close what a client has left open in its children: the engine would hold it for hours."""
    for name in os.listdir("/dev/fd"):
        if (descriptor := int(name)) > STDERR and descriptor != kept:
            with suppress(OSError):
                os.close(descriptor)
