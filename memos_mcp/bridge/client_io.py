"""What a bridge stands between: the client's pipes and process, and the link to an engine. Nothing here waits."""

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from memos_mcp.ipc.line_buffer import LineBuffer

STDIN, STDOUT, STDERR = range(3)

CHUNK_BYTES: Final = 64 * 1024


class ClientClosed(Exception):
    """Nobody reads the answers any more."""


class ClientPipes:
    """The client's two pipes.

    They stay blocking, since others may share them: no more is written at a time than a pipe takes without blocking.
    """

    def __init__(self) -> None:
        self.reading = True
        self._lines = LineBuffer()
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def hear(self) -> list[tuple[bytes, bool]]:
        """Read what is there; return the lines that are complete, and whether each is whole."""
        try:
            chunk = os.read(STDIN, CHUNK_BYTES)
        except BlockingIOError:
            return []  # the client made it so, or shares it with somebody who was faster
        except OSError:
            chunk = b""
        if chunk:
            return self._lines.feed(chunk)
        self.reading = False
        return self._lines.end()

    def say(self, line: bytes) -> None:
        """Write a line as far as that does not block; raise `Gone` when nobody reads."""
        self._pending += line
        self.flush()

    def flush(self) -> None:
        """Write what is pending as far as that does not block; raise `Gone` when nobody reads."""
        writable = select.poll()
        writable.register(STDOUT, select.POLLOUT)
        try:
            while self._pending and writable.poll(0):
                del self._pending[: os.write(STDOUT, self._pending[: select.PIPE_BUF])]
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientClosed from error


class EngineLink:
    """The connection to an engine, after its welcome."""

    def __init__(self, connection: socket.socket) -> None:
        self.since = time.monotonic()
        self.leaving = False
        self.ended = False
        self.unsent: deque[bytes] = deque()
        self._connection = connection
        self._begun = 0
        self._hears_us = True
        self._lines = LineBuffer()

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def sends(self) -> bool:
        """Tell whether there is a line to send, or one to send to its end before the engine leaves."""
        return self._hears_us and (self._begun > 0 or (bool(self.unsent) and not self.leaving))

    def flush(self) -> list[bytes]:
        """Send as far as that does not block; return the lines that are sent to their end."""
        sent = []
        try:
            while self.sends:
                line = self.unsent[0]
                self._begun += self._connection.send(memoryview(line)[self._begun :])
                if self._begun == len(line):
                    sent.append(self.unsent.popleft())
                    self._begun = 0
        except BlockingIOError:
            pass
        except OSError:
            self._hears_us = False  # what it said before can still be heard
        if self.leaving and not self._begun:
            self.say_no_more()
        return sent

    def say_no_more(self) -> None:
        """Tell the engine that nothing follows."""
        if self._hears_us:
            self._hears_us = False
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    def hear(self) -> list[tuple[bytes, bool]]:
        """Receive what is there; return the lines that are complete, and whether each is whole."""
        try:
            chunk = self._connection.recv(CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        self.ended = not chunk
        return self._lines.feed(chunk)

    def close(self) -> None:
        self._connection.close()


class ParentProcess:
    """The process that launched this one: when it is gone, nobody is served any more."""

    def __init__(self) -> None:
        self._process = os.getppid()
        self.descriptor: int | None = None
        if sys.platform == "linux":
            # Some sandboxes forbid it, some builds of Python do not know it: then it is looked for twice a second.
            with suppress(OSError, AttributeError):
                self.descriptor = os.pidfd_open(self._process)

    def is_gone(self, ready: Mapping[int, int]) -> bool:
        return self.descriptor in ready or os.getppid() != self._process


def signals() -> int:
    """Return a descriptor that tells of a signal to end."""
    alarm, trigger = os.pipe()
    os.set_blocking(trigger, False)
    signal.set_wakeup_fd(trigger, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return alarm


def fill_standard_descriptors() -> None:
    """Open what the client has left closed: else a socket would take its number."""
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def tell(what: str) -> None:
    """Say something to the people behind the client, unless that would block: not every client reads it."""
    writable = select.poll()
    writable.register(STDERR, select.POLLOUT)
    with suppress(OSError):
        if writable.poll(0):
            os.write(STDERR, f"memos-as: {what}\n".encode(errors="replace")[: select.PIPE_BUF])
