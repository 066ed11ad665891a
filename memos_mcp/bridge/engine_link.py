"""The connection to an engine. Nothing here blocks."""

import socket
import time
from collections import deque
from contextlib import suppress
from typing import Final

from memos_mcp.ipc.line_buffer import LineBuffer

CHUNK_BYTES: Final = 64 * 1024


class EngineLink:
    """The connection to an engine after the handshake. A `stopping` engine is sent no new line."""

    def __init__(self, connection: socket.socket) -> None:
        self.since = time.monotonic()
        self.stopping = False
        self.closed = False
        self.unsent: deque[bytes] = deque()
        self._connection = connection
        self._sent_bytes = 0
        self._can_send = True
        self._lines = LineBuffer()

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether there is a line to send; to an engine that stops, only the rest of a line that is partly sent."""
        return self._can_send and (self._sent_bytes > 0 or (bool(self.unsent) and not self.stopping))

    def flush(self) -> list[bytes]:
        """Send as much as does not block; return the lines that are sent completely."""
        sent = []
        try:
            while self.has_unsent:
                line = self.unsent[0]
                self._sent_bytes += self._connection.send(memoryview(line)[self._sent_bytes :])
                if self._sent_bytes == len(line):
                    sent.append(self.unsent.popleft())
                    self._sent_bytes = 0
        except BlockingIOError:
            pass
        except OSError:
            self._can_send = False  # what the engine wrote before can still be read
        if self.stopping and not self._sent_bytes:
            self.end_sending()
        return sent

    def end_sending(self) -> None:
        """Signal the engine that nothing follows."""
        if self._can_send:
            self._can_send = False
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    def read(self) -> list[tuple[bytes, bool]]:
        """Read what is available; return the lines that it completes, each with whether it is whole."""
        try:
            chunk = self._connection.recv(CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        self.closed = not chunk
        return self._lines.feed(chunk)

    def close(self) -> None:
        self._connection.close()
