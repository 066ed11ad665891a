"""Invalid messages and requests get an error answer, and the connection continues."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import pytest

from tests.acceptance.raw_clients import (
    META,
    SESSIONLESS,
    Answer,
    HttpRawClient,
    RawClient,
    StdioRawClient,
    call_params,
    message,
    unharmed,
)
from tests.acceptance.servers import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stdio(clients: Mapping[str, RawClient]) -> AsyncIterator[StdioRawClient]:
    client = clients["stdio"]
    assert isinstance(client, StdioRawClient)
    async with unharmed(client):
        yield client


@pytest.fixture
async def http(clients: Mapping[str, RawClient]) -> AsyncIterator[HttpRawClient]:
    client = clients["http"]
    assert isinstance(client, HttpRawClient)
    async with unharmed(client):
        yield client


def good(client: RawClient) -> bytes:
    """Return a valid message."""
    return message(1, "tools/call", call_params("query_memory", {}, META if client.name == "http" else None))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"}",
        b"hello",
        b"GET / HTTP/1.1",
        b"'single'",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"store_memory"',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list",}',
        b'{"jsonrpc":"2.0" "id":1}',
        b"{}{}",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"\x1b[31m",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(14),
)
async def test_invalid_json_is_a_parse_error(client: RawClient, line: bytes) -> None:
    assert (await client.send(line)).code in {-32700, -32600, -32602}


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"null",
        b'"hello"',
        b"true",
        b"[]",
        b"{}",
        b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]',
        b'[{"jsonrpc":"2.0","method":"notifications/initialized"}]',
        b'{"id":1,"method":"tools/list"}',
        b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":5}',
        b'{"jsonrpc":"2.0","id":1,"method":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":"x"}',
        b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":true,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}',
    ],
)
async def test_json_that_is_not_a_message_is_an_invalid_request(client: RawClient, line: bytes) -> None:
    answer = await client.send(line)
    assert answer.code == -32600
    assert "request" in answer.refusal.lower()


@pytest.mark.parametrize("given", ["0", "-1", "9007199254740993", "99999999999999999999", '""', '"é💥"', '"1"'])
async def test_an_unusual_id_is_returned_unchanged(client: RawClient, given: str) -> None:
    answer = await client.send(good(client).replace(b'"id":1', f'"id":{given}'.encode()))
    assert answer.message["id"] == json.loads(given)
    assert answer.data["memories"]


async def test_an_id_of_5000_digits_gets_an_answer(client: RawClient) -> None:
    answer = await client.send(good(client).replace(b'"id":1', b'"id":' + b"1" * 5_000))
    assert answer.code in {-32600, -32602, -32700}


@pytest.mark.parametrize("method", ["tools/destroy", "", "\\ud83d\\udca5", "initialize2", "x" * 10_000])
async def test_an_unknown_method_is_not_found(client: RawClient, method: str) -> None:
    answer = await client.ask(method, {})
    assert answer.code in {-32601, -32600, -32020}
    assert len(answer.refusal) < 500


@pytest.mark.parametrize("name", ["5", "null", "[]", "{}", "true"])
async def test_a_tool_name_that_is_not_a_string_is_refused(client: RawClient, name: str) -> None:
    answer = await client.send(good(client).replace(b'"query_memory"', name.encode()))
    assert answer.code in {-32602, -32020}
    assert "name" in answer.refusal


async def test_a_call_without_a_tool_is_refused(client: RawClient) -> None:
    assert (await client.ask("tools/call", {"arguments": {}})).code in {-32602, -32020}


@pytest.mark.parametrize("meta", ["5", '"x"', "[]", '{"progressToken":[1]}', '{"progressToken":null}'])
async def test_garbage_beside_the_arguments_gets_an_answer(client: RawClient, meta: str) -> None:
    params = f'{{"name":"query_memory","arguments":{{"limit":1}},"_meta":{meta}}}'
    answer = await client.ask("tools/call", params)
    assert answer.code in {None, -32602, -32600}


async def test_blank_lines_are_ignored(stdio: StdioRawClient) -> None:
    assert (await stdio.send(b"\n\r\n  \n\t\n" + good(stdio) + b"\r")).message["id"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"notifications/nothing"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"never sent"}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled"}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{},"progress":"x"}}',
        b'{"jsonrpc":"2.0","method":"notifications/initialized","params":{"a":{"b":[1,2,3]}}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"store_memory","arguments":{"content":"unasked"}}}',
        b'{"jsonrpc":"2.0","id":77,"result":{}}',
        b'{"jsonrpc":"2.0","id":77,"error":{"code":1,"message":"x"}}',
    ],
)
async def test_a_message_that_needs_no_answer_gets_none(stdio: StdioRawClient, line: bytes) -> None:
    assert (await stdio.send(line + b"\n" + good(stdio))).message["id"] == 1


async def test_an_unknown_notification_is_accepted_over_http(http: HttpRawClient) -> None:
    body = b'{"jsonrpc":"2.0","method":"notifications/nothing"}'
    assert (await http.post(body, http.headers("notifications/nothing", ""))).status_code == 202


async def test_an_incomplete_last_message_is_refused_and_the_bridge_exits_cleanly(
    stdio: StdioRawClient,
) -> None:
    leaving = Server(stdio.server.home, settings=stdio.server.settings)
    try:
        client = await StdioRawClient(leaving).open()
        await client.write(good(client)[:-20])
        with anyio.fail_after(10):
            assert leaving.process.stdin is not None
            leaving.process.stdin.close()
            assert (await client.read()).code == -32700
    finally:
        leaving.leave()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"content-type": "text/plain"}, 400),
        ({"content-type": "application/xml"}, 400),
        ({"content-type": ""}, 400),
        ({"accept": "text/html"}, 406),
        ({"mcp-protocol-version": "1999-01-01"}, 400),
        ({"mcp-protocol-version": "2026-07-28, 2026-07-28"}, 400),
        ({"mcp-method": "tools/list"}, 400),
        ({"mcp-name": "store_memory"}, 400),
        ({"mcp-name": ""}, 400),
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-encoding": "gzip"}, 415),
        ({"mcp-session-id": "never given"}, 200),
        ({"x-long": "x" * 30_000}, 431),
        ({"x-long": "x" * 8_000}, 200),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_header_that_does_not_fit_is_refused(http: HttpRawClient, changes: dict[str, str], status: int) -> None:
    headers = {**http.headers("tools/call", "query_memory"), **changes}
    assert (await http.post(good(http), headers)).status_code == status


@pytest.mark.parametrize("body", [b"", b"\n", b" ", b"\x00", b"\x1f\x8b\x08\x00"])
async def test_an_empty_or_compressed_body_is_a_parse_error(http: HttpRawClient, body: bytes) -> None:
    response = await http.post(body, http.headers("tools/call", "query_memory"))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == -32700


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BANANA"])
async def test_another_http_method_is_not_allowed(http: HttpRawClient, method: str) -> None:
    with anyio.fail_after(10):
        response = await http.request(method)
    assert response.status_code in {400, 405}


async def test_an_unknown_session_is_not_found(http: HttpRawClient) -> None:
    headers = {**http.headers("tools/list", ""), "mcp-protocol-version": "2025-11-25", "mcp-session-id": "0" * 32}
    response = await http.post(message(1, "tools/list", "{}"), headers)
    assert response.status_code == 404


async def test_a_request_before_the_handshake_is_refused(http: HttpRawClient) -> None:
    headers = {**http.headers("tools/list", ""), "mcp-protocol-version": "2025-11-25"}
    response = await http.post(message(1, "tools/list", "{}"), headers)
    assert response.status_code == 400


@pytest.mark.parametrize("version", ["1999-01-01", "", "2026-13-45", 5, None, ["2025-11-25"], "x" * 10_000])
async def test_a_handshake_with_an_unknown_version_gets_an_answer(http: HttpRawClient, version: Any) -> None:
    client = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    headers = http.headers("initialize", "")
    del headers["mcp-protocol-version"]
    response = await http.post(message(1, "initialize", json.dumps(client)), headers)
    assert response.status_code in {200, 400}
    if response.status_code == 200 and isinstance(version, str):
        assert version not in json.loads(response.text.partition("data: ")[2] or response.text)["result"].values()


async def test_the_protocol_version_in_the_envelope_must_be_a_known_one(http: HttpRawClient) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "1999-01-01"}
    body = message(1, "tools/call", call_params("query_memory", {}, meta))
    response = await http.post(body, http.headers("tools/call", "query_memory"))
    assert Answer(response.json()).code is not None
    assert SESSIONLESS in response.text or response.status_code == 400
