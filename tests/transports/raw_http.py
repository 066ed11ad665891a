"""Clients that send what no library would: bytes on a socket, to a server process of their own."""

import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil
from sse_starlette.sse import AppStatus

from memos_mcp.settings import Settings
from memos_mcp.transports.http import HttpServer
from tests.server_environment import server_environment
from tests.stand_in import SCOPE, StandInApp, stand_in

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from tests.stand_in import serve_http_as_set; serve_http_as_set()"]
TOKEN = "s3cret"
SECONDS = 15.0


@dataclass
class ServerProcess:
    """A process that serves over HTTP."""

    process: subprocess.Popen[str]
    port: int
    url: str
    _seen: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self._seen = psutil.Process(self.process.pid)

    def connect(self, *sent: bytes) -> socket.socket:
        """Return a connection on which this has been sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        for part in sent:
            connection.sendall(part)
        return connection

    def send(self, *sent: bytes) -> bytes:
        """Return all that the server answers until it closes the connection."""
        with self.connect(*sent) as connection:
            return read_to_end(connection)

    def connections(self) -> int:
        """Return how many connections the process has open."""
        return sum(one.status == psutil.CONN_ESTABLISHED for one in self._seen.net_connections("tcp"))

    def until_connections(self, number: int, more: int = 0) -> None:
        """Wait until it has this many connections, or up to so many more."""
        deadline = time.monotonic() + SECONDS
        while not number <= self.connections() <= number + more:
            assert time.monotonic() < deadline, f"{self.connections()} connections are open"


@contextmanager
def server_process(**settings: str) -> Iterator[ServerProcess]:
    """Serve with this token and these settings until the end of the context."""
    variables = server_environment(MEMOS_AUTH_TOKEN=TOKEN) | settings
    with subprocess.Popen(COMMAND, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            printed = process.stderr.readline()
            found = re.search(r"https?://127\.0\.0\.1:(\d+)", printed)
            assert found, printed
            yield ServerProcess(process, int(found[1]), found[0])
        finally:
            process.kill()


@asynccontextmanager
async def serving(services: StandInApp | None = None, **settings: Any) -> AsyncIterator[HttpServer]:
    """Serve in this process, open to anyone unless the settings say otherwise."""
    AppStatus.should_exit = False  # of the servers that this process has stopped before
    values: dict[str, Any] = {"port": 0, "auth": "none"} | settings
    http = HttpServer(services or stand_in(), SCOPE, Settings(**values))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(http.serve)
        try:
            yield http
        finally:
            http.close()


def read_to_end(connection: socket.socket | ssl.SSLSocket) -> bytes:
    """Return what comes until the other side closes the connection, by an end or a reset."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


def status_of(answer: bytes) -> int:
    """Return the status of an answer, 0 for none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
