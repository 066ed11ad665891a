"""Requests that no client of good will sends, byte by byte, to a server process. docs/security.md lists them all."""

import gzip
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.transports.raw_http import TOKEN, ServerProcess, server_process, status_of
from tests.transports.test_http import HEADERS, call
from tests.transports.test_http_tokens import INITIALIZE, LEGACY, PING

BODY = call().encode()
BEARER = {"authorization": f"Bearer {TOKEN}"}
SECRET_PATHS = ["//mcp", "/mcp/../metrics", "/healthz/../mcp", "/%2fmcp", "/mcp%2f", "/mcp%00", "/MCP", "/mcp;x", "/.."]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with server_process(MEMOS_HTTP_TIMEOUT="2") as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, headers=HEADERS | BEARER, timeout=15) as client:
        yield client


def request(
    *lines: str, target: str = "/mcp", method: str = "POST", body: bytes = BODY, host: str = "localhost"
) -> bytes:
    """Return a request that is right but for these lines, which it has in addition, and closes the connection."""
    fixed = {"Connection": "close"} | HEADERS | BEARER | ({"Host": host} if host else {})
    names = {line.partition(":")[0].strip().lower() for line in lines}
    kept = [f"{name}: {value}" for name, value in fixed.items() if name.lower() not in names or name == "Host"]
    if not names & {"content-length", "transfer-encoding"}:
        kept.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *kept, *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def answers(received: bytes) -> list[int]:
    """Return the statuses of all answers on a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def test_the_request_that_the_others_are_made_of_is_answered(server: ServerProcess) -> None:
    assert answers(server.send(request())) == [200]


# Tokens


@pytest.mark.parametrize(
    "target", ["/mcp?access_token=s3cret", "/mcp?token=s3cret", "/mcp?authorization=Bearer%20s3cret"]
)
def test_a_token_in_the_query_string_is_not_read(server: ServerProcess, target: str) -> None:
    assert answers(server.send(request("Authorization: none", target=target))) == [401]


@pytest.mark.parametrize(
    "line", ["X-Authorization: Bearer s3cret", "Cookie: authorization=s3cret", "Proxy-Authorization: Bearer s3cret"]
)
def test_a_token_in_another_header_is_not_read(server: ServerProcess, line: str) -> None:
    assert answers(server.send(request(line, "Authorization: none"))) == [401]


def test_a_token_beyond_the_size_of_a_head_is_refused(server: ServerProcess) -> None:
    assert answers(server.send(request("Authorization: Bearer " + "a" * 100_000))) in ([431], [400])


# Hosts and origins


@pytest.mark.parametrize(
    "target", ["/mcp", "/sse", "/messages/", "/healthz", "/readyz", "/metrics", "/mcp/", "/nothing"]
)
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example.com", "evil.example.com:8766", "localhost.evil.example.com", "127.0.0.1.nip.io", "localhost:"),
        *("localhost:80@evil.example.com", "localhost:evil.example.com", "localhost.", "localhost:123456"),
        *("[::1].evil.example.com", "[::1", "[::ffff:7f00:1]", "127.1", "2130706433", "0.0.0.0", "0x7f.1", "127.0.0.2"),
        *("local\x00host", "user@localhost", "localhost/mcp", "localhost, evil.example.com", "lo\xe7alhost", "*"),
    ],
)  # fmt: skip
def test_no_path_answers_to_another_host(server: ServerProcess, host: str, target: str) -> None:
    assert answers(server.send(request(host=host, target=target))) in ([421], [400])


@pytest.mark.parametrize("host", ["localhost", "localhost:8766", "127.0.0.1:1", "[::1]", "[::1]:8766"])
def test_health_answers_to_the_hosts_of_the_server(server: ServerProcess, host: str) -> None:
    assert answers(server.send(request(host=host, target="/healthz", method="GET", body=b""))) == [200]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_without_a_host_is_refused(server: ServerProcess, version: str) -> None:
    sent = f"GET /healthz HTTP/{version}\r\nConnection: close\r\n\r\n".encode()
    assert answers(server.send(sent)) == [400 if version == "1.1" else 421]


def test_a_request_with_two_hosts_is_refused(server: ServerProcess) -> None:
    assert answers(server.send(request("Host: localhost", target="/healthz"))) == [400]


@pytest.mark.parametrize("target", ["http://evil.example.com/mcp", "http://localhost/mcp", "*", "evil.example.com:443"])
def test_a_target_with_a_host_of_its_own_is_not_found(server: ServerProcess, target: str) -> None:
    assert answers(server.send(request(target=target))) in ([404], [400])


@pytest.mark.parametrize(
    "origin",
    [
        *("null", "http://evil.example.com", "http://localhost.evil.example.com", "http://evil.example.com#localhost"),
        *("https://localhost", "ftp://localhost", "file://", "localhost", "http://localhost@evil.example.com"),
        *("http://user@localhost", "http://127.0.0.1.evil.example.com:80", "chrome-extension://localhost", "*"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/mcp", "/sse", "/healthz"])
def test_another_origin_is_refused(server: ServerProcess, origin: str, target: str) -> None:
    assert answers(server.send(request(f"Origin: {origin}", target=target))) == [403]


def test_an_origin_beside_an_allowed_one_is_refused(server: ServerProcess) -> None:
    assert answers(server.send(request("Origin: http://localhost", "Origin: http://evil.example.com"))) == [400]


def test_no_answer_allows_other_origins_to_read_it(server: ServerProcess) -> None:
    for method in ("OPTIONS", "GET", "POST"):
        lines = ("Origin: http://localhost:3000", "Access-Control-Request-Method: POST")
        assert b"access-control" not in server.send(request(*lines, method=method)).lower()


# Sessions


def test_a_session_that_was_guessed_or_deleted_does_not_exist(client: httpx.Client) -> None:
    opened = client.post("/mcp", headers=LEGACY, json=INITIALIZE).headers["mcp-session-id"]
    session = LEGACY | {"mcp-session-id": opened}
    assert client.post("/mcp", headers=session, json=PING).status_code == 200
    assert client.delete("/mcp", headers=session).status_code == 200
    for known in (opened, "0" * 32, opened.upper(), "../" + opened, "a" * 10_000):
        assert client.post("/mcp", headers=LEGACY | {"mcp-session-id": known}, json=PING).status_code == 404


def test_a_client_cannot_choose_the_id_of_its_session(client: httpx.Client) -> None:
    chosen = "c" * 32
    answer = client.post("/mcp", headers=LEGACY | {"mcp-session-id": chosen}, json=INITIALIZE)
    assert (answer.status_code, answer.headers.get("mcp-session-id")) == (404, None)
    assert client.post(f"/mcp?session_id={chosen}", headers=LEGACY, json=INITIALIZE).headers["mcp-session-id"] != chosen


def test_two_session_ids_in_one_request_are_refused(server: ServerProcess) -> None:
    lines = ("Mcp-Session-Id: " + "0" * 32, "Mcp-Session-Id: " + "1" * 32)
    assert answers(server.send(request(*lines))) == [400]


@pytest.mark.parametrize("session", ["", "x", "0" * 32, "%00", "../mcp"])
def test_a_message_to_a_stream_that_was_guessed_is_refused(client: httpx.Client, session: str) -> None:
    answer = client.post("/messages/", params={"session_id": session}, json=PING)
    assert answer.status_code == (404 if session == "0" * 32 else 400)


# Methods, heads and bodies


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "HEAD", "OPTIONS", "PROPFIND", "post", "GETT"])
@pytest.mark.parametrize("target", ["/mcp", "/sse"])
def test_another_method_is_refused(server: ServerProcess, method: str, target: str) -> None:
    received = server.send(request(method=method, target=target))
    assert answers(received) in ([405], [400])
    assert TOKEN.encode() not in received


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: 4, 5",),
        ("Content-Length: -1",),
        ("Content-Length: +4",),
        ("Content-Length: 0x4",),
        ("Content-Length: 4 4",),
        ("Content-Length: 99999999999999999999999",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer\x00-Encoding: chunked",),
    ],
    ids=str,
)
def test_a_request_whose_end_is_ambiguous_smuggles_no_other(server: ServerProcess, lines: tuple[str, ...]) -> None:
    sent = request(*lines, body=b"0\r\n\r\n" + SMUGGLED).replace(b"Connection: close\r\n", b"")
    assert answers(server.send(sent)) == [400]


@pytest.mark.parametrize(
    "chunks",
    [
        b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5 \nhello",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffffffff\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    ],
    ids=lambda chunks: repr(chunks[:12]),
)
def test_broken_chunks_are_refused_and_nothing_after_them_is_read(server: ServerProcess, chunks: bytes) -> None:
    assert answers(server.send(request("Transfer-Encoding: chunked", body=chunks + SMUGGLED))) == [400]


def test_a_short_chunk_extension_is_ignored(server: ServerProcess) -> None:
    chunks = b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert answers(server.send(request("Transfer-Encoding: chunked", body=chunks))) == [200]


def test_broken_chunks_after_the_answer_close_the_connection(server: ServerProcess) -> None:
    sent = request("Authorization: none", "Transfer-Encoding: chunked", body=b"").replace(b"Connection: close\r\n", b"")
    with server.connect(sent) as connection:
        answer = b""
        while not answer.endswith(b"required."):
            answer += connection.recv(65_536)
        assert status_of(answer) == 401
        connection.sendall(b"no chunk\r\n")
        assert connection.recv(65_536) == b""
    assert answers(server.send(request())) == [200]


def test_a_folded_header_is_one_value(server: ServerProcess) -> None:
    assert answers(server.send(request("Authorization: Bearer\r\n wrong", "X-Folded: a\r\n\tHost: evil"))) == [401]


@pytest.mark.parametrize("value", ["a\rb", "a\x00b", "a\nHost evil", "a\r\n\x00: b"], ids=repr)
def test_a_header_with_control_characters_is_refused(server: ServerProcess, value: str) -> None:
    assert answers(server.send(request(f"X-Value: {value}"))) == [400]


def test_an_encoded_line_end_reaches_no_header_of_an_answer(client: httpx.Client) -> None:
    for path in ("/mcp%0d%0aSet-Cookie:%20a=b", "/messages%0d%0aX: y/", "/sse?a=%0d%0aSet-Cookie:b"):
        answer = client.post(path, content=BODY)
        assert answer.status_code in {404, 405}
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/9.9", b"GET /\x00 HTTP/1.1", b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0", b"hello"]
)
def test_what_is_no_http_is_refused(server: ServerProcess, head: bytes) -> None:
    received = server.send(head + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answers(received) in ([400], [505])


@pytest.mark.parametrize(
    "lines", [("X: " + "a" * 100_000,), tuple(f"X-{number}: {'a' * 50}" for number in range(2_000))]
)
def test_a_head_that_is_too_large_is_refused(server: ServerProcess, lines: tuple[str, ...]) -> None:
    assert answers(server.send(request(*lines))) in ([431], [400])


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_a_connection_is_not_upgraded(server: ServerProcess, upgrade: str) -> None:
    received = server.send(request(f"Upgrade: {upgrade}", "Connection: Upgrade, close"))
    assert answers(received) == [200]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "text/json",
        "application/xml",
    ],
)
def test_a_body_that_a_page_may_send_without_asking_is_refused(server: ServerProcess, content_type: str) -> None:
    assert answers(server.send(request(f"Content-Type: {content_type}"))) in ([400], [415])


def test_two_content_types_are_refused(server: ServerProcess) -> None:
    lines = ("Content-Type: application/json", "Content-Type: text/plain")
    assert answers(server.send(request(*lines))) == [400]


@pytest.mark.parametrize("charset", ["utf-16", "utf-32", "utf-7", "cp037"])
def test_a_body_in_another_charset_is_no_message(server: ServerProcess, charset: str) -> None:
    body = call().replace('"x"', '"+ADw-"').encode(charset) if charset != "utf-7" else b"+AHs-" + BODY[1:]
    sent = request(f"Content-Type: application/json; charset={charset}", body=body)
    assert answers(server.send(sent)) == [400]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_a_compressed_body_is_not_unpacked(server: ServerProcess, coding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert answers(server.send(request(f"Content-Encoding: {coding}", body=bomb))) == [415]


def test_a_body_that_is_declared_too_large_is_refused_without_a_token(server: ServerProcess) -> None:
    sent = request("Authorization: none", "Content-Length: 999999999999", body=b"")
    assert answers(server.send(sent)) == [401]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
def test_a_body_of_nesting_only_is_refused(server: ServerProcess, opening: bytes) -> None:
    assert answers(server.send(request(body=opening * 1_000_000))) == [400]


# Paths


@pytest.mark.parametrize("target", SECRET_PATHS)
def test_another_spelling_of_a_path_is_not_found(server: ServerProcess, target: str) -> None:
    received = server.send(request(target=target))
    assert answers(received) in ([404], [307], [400])
    assert b"result" not in received


def test_an_encoded_spelling_of_a_path_needs_the_same_token(server: ServerProcess) -> None:
    assert answers(server.send(request("Authorization: none", target="/%6dcp"))) == [401]


def test_a_redirect_stays_on_the_host_of_the_server(server: ServerProcess) -> None:
    received = server.send(request(target="/mcp/", host="localhost:1"))
    assert answers(received) == [307]
    assert b"location: http://localhost:1/mcp\r\n" in received
    assert answers(server.send(request(target="/mcp/", host="evil.example.com"))) == [421]
    assert b"evil" not in server.send(request(target="//evil.example.com/mcp/"))


# Forwarded headers


@pytest.mark.parametrize(
    "line",
    [
        *("X-Forwarded-Host: evil.example.com", "Forwarded: for=127.0.0.1;host=evil.example.com;proto=https"),
        *("X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1", "X-Original-URL: /healthz", "X-Rewrite-URL: /healthz"),
    ],
)  # fmt: skip
def test_forwarded_headers_of_anyone_change_nothing(server: ServerProcess, line: str) -> None:
    received = server.send(request(line, target="/mcp/"))
    assert b"location: http://localhost/mcp\r\n" in received


@pytest.mark.parametrize("line", ["X-Forwarded-Host: localhost", "Forwarded: host=localhost", "X-Host: localhost"])
def test_a_forwarded_host_does_not_admit_another_host(server: ServerProcess, line: str) -> None:
    assert answers(server.send(request(line, host="evil.example.com"))) == [421]


def test_a_method_is_not_overridden_by_a_header(client: httpx.Client) -> None:
    opened = client.post("/mcp", headers=LEGACY, json=INITIALIZE).headers["mcp-session-id"]
    session = LEGACY | {"mcp-session-id": opened}
    client.post("/mcp", headers=session | {"x-http-method-override": "DELETE"}, json=PING)
    assert client.post("/mcp", headers=session, json=PING).status_code == 200
