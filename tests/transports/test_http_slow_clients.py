"""Clients that send or read slowly lose their connections, and others are answered meanwhile."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.transports.raw_http import SECONDS, TOKEN, ServerProcess, read_to_end, server_process
from tests.transports.test_http import HEADERS, call
from tests.transports.test_http_tokens import INITIALIZE, LEGACY

TIMEOUT = 1.0
SENDERS = 120
READERS = 5
BEARER = {"authorization": f"Bearer {TOKEN}"}


def head(**more: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in ({"host": "localhost"} | HEADERS | BEARER | more).items()]
    return "\r\n".join(["POST /mcp HTTP/1.1", *lines]).encode() + b"\r\n"


LISTING = call().replace("tools/call", "tools/list").encode()
HALVES = (
    b"",
    b"POST /mcp HT",
    head()[:200],
    head() + b"Content-Length: 100\r\n\r\n{",
    head() + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
)
"""What a client sends before it falls silent: nothing, parts of a head, parts of a body."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with server_process(MEMOS_HTTP_TIMEOUT=str(TIMEOUT), MEMOS_HTTP_CONNECTIONS="200") as process:
        yield process


def is_answered(server: ServerProcess) -> bool:
    """Whether a client that is not slow is answered."""
    answer = httpx.post(f"{server.url}/mcp", content=call(), headers=HEADERS | BEARER, timeout=SECONDS, trust_env=False)
    return answer.status_code == 200


def unread(server: ServerProcess, *sent: bytes) -> socket.socket:
    """Return a connection of a client that takes little of the answers and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(SECONDS)
    connection.connect(("127.0.0.1", server.port))
    for part in sent:
        connection.sendall(part)
    return connection


def test_silent_connections_are_closed_while_another_client_is_answered(server: ServerProcess) -> None:
    slow = [server.connect(HALVES[number % len(HALVES)]) for number in range(SENDERS)]
    assert is_answered(server)
    server.until_connections(0)
    assert {read_to_end(connection) for connection in slow} == {b""}
    for connection in slow:
        connection.close()


def test_a_client_that_sends_a_byte_at_a_time_is_closed_too(server: ServerProcess) -> None:
    sent = head() + b"Content-Length: 9999\r\n\r\n"
    with server.connect(sent[:20]) as slow_head, server.connect(sent) as slow_body:
        server.until_connections(1, 1)
        deadline = time.monotonic() + SECONDS
        while (open_now := server.connections()) > 0:
            assert time.monotonic() < deadline
            with suppress(OSError):
                slow_head.sendall(b"a")
            with suppress(OSError):
                slow_body.sendall(b" ")
        assert open_now == 0
        assert (read_to_end(slow_head), read_to_end(slow_body)) == (b"", b"")


def test_clients_that_read_no_answers_are_closed_while_another_client_is_answered(server: ServerProcess) -> None:
    listing = head(**{"mcp-method": "tools/list"}) + b"Content-Length: %d\r\n\r\n%s" % (len(LISTING), LISTING)
    slow = [unread(server, listing * 40) for _ in range(READERS)]
    assert is_answered(server)
    server.until_connections(0)
    for connection in slow:
        connection.close()


def test_a_stream_that_is_not_read_is_closed_with_its_session(server: ServerProcess) -> None:
    request = f"GET /sse HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with unread(server, request) as stream, httpx.Client(base_url=server.url, headers=LEGACY | BEARER) as client:
        opening = b""
        while b"session_id=" not in opening or not opening.endswith(b"\r\n\r\n"):
            opening += stream.recv(1_000)
        path = opening.partition(b"data: ")[2].split()[0].decode()
        assert client.post(path, json=INITIALIZE).status_code == 202
        client.post(path, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        deadline = time.monotonic() + SECONDS
        while client.post(path, json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).status_code == 202:
            assert time.monotonic() < deadline
        assert client.post(path, json=INITIALIZE).status_code == 404
        client.close()
        server.until_connections(0)


def test_a_refused_connection_is_closed_although_its_body_continues(server: ServerProcess) -> None:
    with server.connect(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n") as connection:
        answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 401 ")
        deadline = time.monotonic() + SECONDS
        with suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b" " * 65_536)
        assert time.monotonic() < deadline
    assert is_answered(server)


def test_the_longest_free_connections_give_way_to_new_ones(server: ServerProcess) -> None:
    free = [server.connect(b"POST") for _ in range(200)]
    assert is_answered(server)
    assert free[0].recv(1) == b""
    free[-1].sendall(b" /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert read_to_end(free[-1]).startswith(b"HTTP/1.1 401 ")
    for connection in free:
        connection.close()
