"""The two ends of a bridge: the client's pipes, and the link to an engine. Nothing here waits."""

import os
import select
import socket
import time
from collections import deque
from typing import Final

from memos_mcp.framing import Lines

STDIN, STDOUT, STDERR = range(3)

CHUNK_BYTES: Final = 64 * 1024


class Client:
    """The client's two pipes.

    They stay blocking, since others may share them: no more is written at a time than a pipe takes without blocking.
    """

    def __init__(self) -> None:
        self.reading = True
        self._lines = Lines()
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def hear(self) -> list[tuple[bytes, bool]]:
        """Read what is there; return the lines that are complete, and whether each is whole."""
        try:
            chunk = os.read(STDIN, CHUNK_BYTES)
        except OSError:
            chunk = b""
        if chunk:
            return self._lines.feed(chunk)
        self.reading = False
        return self._lines.end()

    def say(self, line: bytes) -> None:
        """Write a line as far as that does not block; raise `OSError` when nobody reads."""
        self._pending += line
        self.flush()

    def flush(self) -> None:
        """Write what is pending as far as that does not block; raise `OSError` when nobody reads."""
        writable = select.poll()
        writable.register(STDOUT, select.POLLOUT)
        while self._pending and writable.poll(0):
            del self._pending[: os.write(STDOUT, self._pending[: select.PIPE_BUF])]


class Link:
    """The connection to an engine, after its welcome."""

    def __init__(self, connection: socket.socket) -> None:
        self.since = time.monotonic()
        self.leaving = False
        self.ended = False
        self.unsent: deque[bytes] = deque()
        self._connection = connection
        self._begun = 0
        self._lines = Lines()

    def fileno(self) -> int:
        return self._connection.fileno()

    def flush(self) -> list[bytes]:
        """Send as far as that does not block; return the lines that are sent to their end."""
        sent = []
        try:
            while self.unsent and (self._begun or not self.leaving):
                line = self.unsent[0]
                self._begun += self._connection.send(memoryview(line)[self._begun :])
                if self._begun == len(line):
                    sent.append(self.unsent.popleft())
                    self._begun = 0
            if self.leaving and not self._begun:
                self._connection.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        return sent

    def hear(self) -> list[bytes]:
        """Receive what is there; return the lines that are complete."""
        try:
            chunk = self._connection.recv(CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        self.ended = not chunk
        return [line for line, _ in self._lines.feed(chunk)]

    def close(self) -> None:
        self._connection.close()
