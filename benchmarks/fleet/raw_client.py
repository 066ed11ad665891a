"""A client that takes little of the machine: requests of the current protocol on one kept connection, and no parsing.

Several clients are threads of a process; what loads the server and what measures it are two processes.
"""

import json
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
TIMEOUT_SECONDS = 120.0
CHUNK = 256 * 1024
LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass
class Times:
    """The milliseconds of each answered call, and how many were refused. Threads may share it."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0


class RawClient:
    """One connection to a server at this port; not for several threads."""

    def __init__(self, port: int, token: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fixed = "".join(
            (
                f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n",
                f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\n",
                "" if token is None else f"Authorization: Bearer {token}\r\n",
            )
        )
        self._sent = 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def list_tools(self) -> bytes:
        """Call tools/list; return the answer."""
        return self._send("tools/list", {}, "")

    def call(self, tool: str, **arguments: Any) -> bytes:
        """Call a tool; return the answer."""
        return self._send("tools/call", {"name": tool, "arguments": arguments}, f"Mcp-Name: {tool}\r\n")

    def ask(self, text: str) -> bytes:
        """Call query_memory."""
        return self.call("query_memory", query=text, limit=5)

    def _send(self, method: str, params: dict[str, Any], named: str) -> bytes:
        self._sent += 1
        body = json.dumps({"jsonrpc": "2.0", "id": self._sent, "method": method, "params": {"_meta": META, **params}})
        head = f"{self._fixed}Mcp-Method: {method}\r\n{named}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(f"{head}{body}".encode())
        return self._answer()

    def _answer(self) -> bytes:
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = bytes(received[:end]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"the server answers {head!r}")
        size = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        # After 15 seconds an answer is a stream of chunks.
        while len(received) < end + 4 + int(size) if size else not received.endswith(LAST_CHUNK):
            received += self._more()
        return bytes(received[end + 4 :])

    def _more(self) -> bytes:
        part = self._socket.recv(CHUNK)
        if not part:
            raise RuntimeError("the server has closed a connection")
        return part


def in_threads(clients: Sequence[Callable[[], None]]) -> None:
    """Run the clients at the same time; return when all have ended, or raise what one has raised."""
    with ThreadPoolExecutor(len(clients)) as threads:
        for running in [threads.submit(client) for client in clients]:
            running.result()


def repeat(port: int, token: str | None, send: Callable[[RawClient], bytes], seconds: float, clients: int) -> Times:
    """Send one request after the other for so long, on so many connections; return their times."""
    times, ends = Times(), time.perf_counter() + seconds

    def run() -> None:
        client = RawClient(port, token)
        while time.perf_counter() < ends:
            measure(times, lambda: send(client))
        client.close()

    in_threads([run] * clients)
    return times


def measure(times: Times, send: Callable[[], bytes]) -> None:
    """Note how long a request takes that is answered, or that it is refused."""
    began = time.perf_counter()
    answer = send()
    if b'"isError":true' in answer:
        times.refused += 1
    else:
        times.milliseconds.append((time.perf_counter() - began) * 1000)
