"""What clients ask again and again is answered by the SDK once, and then from memory."""

import json
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.domain.access_token import Principal
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.mcp_server.calling_client import PRINCIPAL
from memos_mcp.transports.http_prepared_answers import MAX_KEPT, MAX_REQUEST_BYTES, PreparedAnswers
from tests.transports.test_http import http_client

pytestmark = pytest.mark.anyio

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/list",
}


class Server:
    """A server that numbers its answers, behind prepared ones; each request has the rights that are set."""

    def __init__(self, status: int = 200) -> None:
        self.answered = 0
        self.rights: frozenset[Right] = frozenset({"read"})
        self._status = status
        self._prepared = PreparedAnswers(self._answer)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self._serve), base_url="http://server")

    async def ask(self, request_id: Any = 1, headers: dict[str, str] = HEADERS, **params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": request_id, "method": "tools/list", "params": params}
        return (await self.client.post("/mcp", headers=headers, json=body)).json()

    async def _serve(self, connection: Connection, receive: Receive, send: Send) -> None:
        connection[PRINCIPAL] = Principal("1", "memos_1", Scope("team", "ann", rights=self.rights))
        await self._prepared(connection, receive, send)

    async def _answer(self, connection: Connection, receive: Receive, send: Send) -> None:
        self.answered += 1
        request = json.loads((await receive())["body"])
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"number": self.answered}}
        await JSONResponse(answer, self._status)(connection, receive, send)


@pytest.mark.parametrize("request_id", [2, "two", "zw\u00f6lf \U0001f600", 0])
async def test_the_same_request_has_the_same_answer_with_its_own_id(request_id: Any) -> None:
    server = Server()
    await server.ask(1)
    assert await server.ask(request_id) == {"jsonrpc": "2.0", "id": request_id, "result": {"number": 1}}


async def test_callers_with_other_rights_have_other_answers() -> None:
    server = Server()
    await server.ask()
    server.rights = frozenset({"read", "write"})
    assert (await server.ask())["result"]["number"] == 2
    server.rights = frozenset({"read"})
    assert (await server.ask())["result"]["number"] == 1


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({"accept": "application/json"}, {}),
        ({"mcp-name": "store_memory"}, {}),
        ({"mcp-session-id": "1"}, {}),
        ({}, {"cursor": "1"}),
    ],
)
async def test_another_request_is_answered_by_the_server(headers: dict[str, str], params: dict[str, Any]) -> None:
    server = Server()
    await server.ask()
    assert (await server.ask(headers=HEADERS | headers, **params))["result"]["number"] == 2


@pytest.mark.parametrize("headers", [{"mcp-method": "tools/call"}, {"mcp-protocol-version": "2025-11-25"}])
async def test_other_methods_and_older_clients_always_reach_the_server(headers: dict[str, str]) -> None:
    server = Server()
    answers = [await server.ask(headers=HEADERS | headers) for _ in range(2)]
    assert [answer["result"]["number"] for answer in answers] == [1, 2]


async def test_an_error_and_the_answer_to_a_long_request_are_not_kept() -> None:
    failing, server = Server(status=400), Server()
    await failing.ask()
    assert (await failing.ask())["result"]["number"] == 2
    for _ in range(2):
        await server.ask(padding="x" * MAX_REQUEST_BYTES)
    assert server.answered == 2


async def test_few_answers_are_kept() -> None:
    server = Server()
    for number in range(MAX_KEPT + 1):
        await server.ask(cursor=str(number))
    assert len(server._prepared._kept) == MAX_KEPT
    assert (await server.ask(cursor="0"))["result"]["number"] == MAX_KEPT + 2


async def test_the_list_of_tools_is_that_of_the_sdk_each_time() -> None:
    async with http_client() as client:
        answers = []
        for number in range(3):
            body = {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {"_meta": META}}
            answers.append(await client.post("/mcp", headers=HEADERS, json=body))
    assert [answer.json()["id"] for answer in answers] == [0, 1, 2]
    assert len({json.dumps(answer.json()["result"]) for answer in answers}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
