"""The client's side of a bridge: its pipes, its process and the signals it sends. Nothing here blocks."""

import os
import select
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from memos_mcp.ipc.line_buffer import LineBuffer

STDIN, STDOUT, STDERR = range(3)

CHUNK_BYTES: Final = 64 * 1024


class ClientClosed(Exception):
    """The client no longer reads answers."""


class ClientPipes:
    """The client's two pipes.

    They stay in blocking mode, since other processes may share them: no more is written at a time than a pipe accepts
    without blocking.
    """

    def __init__(self) -> None:
        self.reading = True
        self._lines = LineBuffer()
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """How many bytes wait to be written."""
        return len(self._pending)

    def read(self) -> list[tuple[bytes, bool]]:
        """Read what is available; return the lines that it completes, each with whether it is whole."""
        try:
            chunk = os.read(STDIN, CHUNK_BYTES)
        except BlockingIOError:
            return []  # the pipe is in non-blocking mode, or another process that shares it was faster
        except OSError:
            chunk = b""
        if chunk:
            return self._lines.feed(chunk)
        self.reading = False
        return self._lines.end()

    def write(self, line: bytes) -> None:
        """Write as much of a line as does not block; raise `ClientClosed`."""
        self._pending += line
        self.flush()

    def flush(self) -> None:
        """Write as much of what is pending as does not block; raise `ClientClosed`."""
        writable = select.poll()
        writable.register(STDOUT, select.POLLOUT)
        try:
            while self._pending and writable.poll(0):
                del self._pending[: os.write(STDOUT, self._pending[: select.PIPE_BUF])]
        except BlockingIOError:
            pass
        except OSError as error:
            raise ClientClosed from error


class ParentProcess:
    """The process that launched this one. When it has exited, there is no client any more."""

    def __init__(self) -> None:
        self._pid = os.getppid()
        self.descriptor: int | None = None
        if sys.platform == "linux":
            # Some sandboxes forbid it and some builds of Python lack it: the parent is then polled twice a second.
            with suppress(OSError, AttributeError):
                self.descriptor = os.pidfd_open(self._pid)

    def has_exited(self, ready: Mapping[int, int]) -> bool:
        return self.descriptor in ready or os.getppid() != self._pid


def catch_signals() -> int:
    """Return a file descriptor that becomes readable on a signal to stop."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    return reader


def open_standard_streams() -> None:
    """Open the standard streams that the client has closed: a socket would get their number otherwise."""
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def report(message: str) -> None:
    """Write a message for people to stderr, unless that would block: not every client reads it."""
    writable = select.poll()
    writable.register(STDERR, select.POLLOUT)
    with suppress(OSError):
        if writable.poll(0):
            os.write(STDERR, f"memos-as: {message}\n".encode(errors="replace")[: select.PIPE_BUF])
