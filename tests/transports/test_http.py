import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from memos_mcp.ipc.line_buffer import MAX_LINE_BYTES
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.settings import Settings
from memos_mcp.transports.http import build_http
from tests.stand_in import SCOPE, StandInApp, stand_in
from tests.transports.test_jsonrpc_lines import ID_LAST, STORE

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from tests.stand_in import serve_http_alone; serve_http_alone()"]
ENVELOPE = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},'
)
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "store_memory",
}
OPEN: dict[str, Any] = {"auth": "none"}
LISTEN_ANYWHERE: dict[str, Any] = {"host": "0.0.0.0", "auth_token": "s3cret", "allowed_hosts": ("memos.example.com",)}
PATHS = ["/mcp", "/sse", "/messages/?session_id=1"]


@asynccontextmanager
async def http_client(services: StandInApp | None = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the web application, without a socket between them. Without settings it is open to anyone."""
    web = build_http(services or stand_in(), SCOPE, Settings(**settings or OPEN))
    transport = httpx.ASGITransport(web)
    async with (
        web.router.lifespan_context(web),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8766") as client,
    ):
        yield client


async def post(client: httpx.AsyncClient, body: str | bytes, path: str = "/mcp", **headers: str) -> httpx.Response:
    return await client.post(path, content=body, headers=HEADERS | headers)


def call(arguments: str = '"tags":[]', form: str = STORE) -> str:
    return (form % arguments).replace('"params":{', '"params":{' + ENVELOPE)


async def test_a_call_without_a_session_is_answered_as_json() -> None:
    services = stand_in()
    async with http_client(services) as client:
        answer = await post(client, call())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["result"]["structuredContent"]["created"] is True
    assert [memory.content for memory in services.memories.stored] == ["x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example.com"}, 421),
        ({"host": "127.0.0.1.evil.example.com:80"}, 421),
        ({"origin": "http://evil.example.com"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_another_host_or_origin_is_rejected(path: str, headers: dict[str, str], status: int) -> None:
    async with http_client() as client:
        method = "GET" if path == "/sse" else "POST"
        answer = await client.request(method, path, content=call(), headers=HEADERS | headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "headers",
    [{"host": "localhost"}, {"host": "[::1]:9"}, {"origin": "http://localhost:5173"}, {"origin": "http://127.0.0.1"}],
)
async def test_loopback_names_are_admitted(headers: dict[str, str]) -> None:
    async with http_client() as client:
        assert (await post(client, call(), **headers)).status_code == 200


@pytest.mark.parametrize("form", [STORE, ID_LAST], ids=["id first", "id last"])
@pytest.mark.parametrize(
    ("broken", "code", "request_id"),
    [
        (r'"metadata":{"a":"\ud83d"}', -32602, 7),
        ('"metadata":{"a":%s}' % ("9" * 5_000), -32602, 7),
        ('"metadata":{"a":%s}' % ("[" * 200_000 + "]" * 200_000), -32602, 7),
        ('"metadata":{broken}', -32700, None),
    ],
    ids=["surrogate", "digits", "deep", "syntax"],
)
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_broken_call_is_answered_under_its_id_if_it_is_json(
    form: str, broken: str, code: int, request_id: int | None, era: str
) -> None:
    version = "2026-07-28" if era == "modern" else "2025-11-25"
    async with http_client() as client:
        answer = await post(client, call(broken, form), **{"mcp-protocol-version": version})
        assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, request_id, code)
        assert (await post(client, call())).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"5", b"\xff", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', call().replace('"id":7', '"id":7.5')],
)
async def test_other_bodies_are_bad_requests(body: bytes | str) -> None:
    async with http_client() as client:
        answer = await post(client, body)
    assert (answer.status_code, answer.json()["id"]) == (400, None)


@pytest.mark.parametrize("number", ["NaN", "1e400", "-Infinity"])
async def test_a_number_that_json_cannot_carry_is_never_stored(number: str) -> None:
    services = stand_in()
    async with http_client(services) as client:
        answer = await post(client, call(f'"metadata":{{"a":{number}}}'))
    assert answer.json()["result"]["isError"]
    assert services.memories.stored == []


@pytest.mark.parametrize("path", ["/mcp", "/messages/?session_id=1"])
async def test_a_body_beyond_the_limit_is_too_large(path: str) -> None:
    async with http_client() as client:
        answer = await post(client, call(f'"session_id":"{"x" * MAX_LINE_BYTES}"'), path)
    assert answer.status_code == 413
    assert "16 MiB" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("parts", "status", "word"),
    [
        ({"postgres": "ok", "index": "ok"}, 200, "ok"),
        ({"postgres": "ok", "index": "The index is being built."}, 200, "degraded"),
        ({"postgres": "The database cannot be reached.", "index": "ok"}, 503, "unavailable"),
    ],
)
async def test_ready_means_that_postgres_answers(parts: dict[str, str], status: int, word: str) -> None:
    async with http_client(stand_in(parts=parts), **LISTEN_ANYWHERE) as client:
        answer = await client.get("/readyz", headers={"host": "memos.example.com"})
    assert answer.status_code == status
    assert answer.json() == {"status": word, "parts": parts}


async def test_a_call_is_cancelled_when_its_client_disconnects() -> None:
    services = stand_in()
    web = build_http(services, SCOPE, Settings(**OPEN))
    body = [call().replace('"content":"x"', '"content":"wait"').encode()]

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop()}
        await services.memories.started.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None: ...

    headers = [(name.encode(), value.encode()) for name, value in (HEADERS | {"host": "localhost"}).items()]
    connection = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": headers,
    }
    async with web.router.lifespan_context(web):
        with anyio.fail_after(5):
            await web(connection, receive, send)
    assert services.memories.stored == []


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process on a free port."""
    with subprocess.Popen(COMMAND, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline().decode())
            assert address
            yield address[0], process
        finally:
            process.kill()


@pytest.mark.parametrize("era", ["legacy", "auto"])
@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_a_client_of_either_era_is_served(
    server: tuple[str, subprocess.Popen[bytes]], path: str, era: Literal["legacy", "auto"]
) -> None:
    url = server[0] + path
    for _ in range(2):
        async with Client(url if path == "/mcp" else sse_client(url), mode=era) as client:
            assert len((await client.list_tools()).tools) == len(TOOLS)
            result = await client.call_tool("store_memory", {"content": "Grüße 😀"})
            assert result.structured_content["created"] is True


def test_a_call_is_not_delayed_by_the_network(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    with httpx.Client(base_url=server[0]) as client:
        took = sorted(client.post("/mcp", content=call(), headers=HEADERS).elapsed.total_seconds() for _ in range(20))
    assert took[2] < 0.03


def test_the_server_stops_cleanly_while_streams_are_open(server: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = server
    with httpx.Client() as client, client.stream("GET", url + "/sse") as stream:
        events = stream.iter_lines()
        assert (stream.status_code, next(events)) == (200, "event: endpoint")
        process.send_signal(signal.SIGTERM)
        assert [line for line in events if line.startswith("event")] == []
        assert process.wait(timeout=10) == 0
    assert process.stderr
    assert process.stderr.read() == b"closed cleanly\n"
