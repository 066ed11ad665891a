"""Sessions of older clients and streams are limited, in all and for each token."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx
import pytest

from memos_mcp.domain.access_token import Principal
from memos_mcp.services.token_authenticator import TokenAuthenticator
from tests.stand_in import SCOPE, stand_in
from tests.transports.raw_http import serving
from tests.transports.test_http_tokens import INITIALIZE, LEGACY, PING, bearer

pytestmark = pytest.mark.anyio


class Names(TokenAuthenticator):
    """An authenticator to which each token is the name of a principal."""

    def __init__(self) -> None: ...

    async def authenticate(self, bearer: str) -> Principal | None:
        return Principal(bearer, bearer, SCOPE)


@dataclass
class Sessions:
    """A client of a server with limits."""

    client: httpx.AsyncClient

    async def open(self, token: str) -> httpx.Response:
        return await self.client.post("/mcp", headers=LEGACY | bearer(token), json=INITIALIZE)

    async def opened(self, token: str) -> str:
        answer = await self.open(token)
        assert answer.status_code == 200
        return str(answer.headers["mcp-session-id"])

    async def status(self, session: str, token: str, method: str = "POST") -> int:
        headers = LEGACY | bearer(token) | {"mcp-session-id": session}
        content = json.dumps(PING) if method == "POST" else None
        return (await self.client.request(method, "/mcp", headers=headers, content=content)).status_code


@asynccontextmanager
async def limited(total: int = 100, per_token: int = 100) -> AsyncIterator[Sessions]:
    services = replace(stand_in(), token_authenticator=Names())
    settings: dict[str, Any] = {
        "http_sessions": total,
        "http_sessions_per_token": per_token,
        "auth_token": "s3cret",
        "auth": "token",
    }
    async with (
        serving(services, **settings) as http,
        httpx.AsyncClient(base_url=http.url, trust_env=False, timeout=20) as client,
    ):
        yield Sessions(client)


async def test_one_session_too_many_replaces_the_one_of_its_token_that_was_idle_longest() -> None:
    async with limited(per_token=2) as sessions:
        first, second = await sessions.opened("ann"), await sessions.opened("ann")
        other = await sessions.opened("bob")
        assert await sessions.status(first, "ann") == 200
        third = await sessions.opened("ann")
        assert await sessions.status(second, "ann") == 404
        for session, token in ((first, "ann"), (third, "ann"), (other, "bob")):
            assert await sessions.status(session, token) == 200


async def test_sessions_of_others_are_not_replaced_when_the_server_has_enough() -> None:
    async with limited(total=2) as sessions:
        first, second = await sessions.opened("ann"), await sessions.opened("ann")
        refused = await sessions.open("bob")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["error"]["message"] == (
            "The server has as many sessions as it may. Repeat the request later."
        )
        assert [await sessions.status(session, "ann") for session in (first, second)] == [200, 200]
        assert await sessions.status(first, "ann", "DELETE") == 200
        await sessions.opened("bob")


async def test_a_token_whose_sessions_and_streams_are_all_in_use_gets_no_more() -> None:
    async with limited(per_token=2) as sessions, AsyncExitStack() as streams:
        session = await sessions.opened("ann")
        headers = LEGACY | bearer("ann") | {"mcp-session-id": session, "accept": "text/event-stream"}
        for path in ("/mcp", "/sse"):
            stream = await streams.enter_async_context(sessions.client.stream("GET", path, headers=headers))
            assert stream.status_code == 200
        refused = [await sessions.open("ann"), await sessions.client.get("/sse", headers=bearer("ann"))]
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
            assert answer.json()["error"]["message"] == (
                "This access token has 2 sessions in use. Close one, or use another token."
            )
        await sessions.opened("bob")
        await streams.aclose()
        with anyio.fail_after(10):
            while (await sessions.open("ann")).status_code == 429:
                pass  # until the server has noticed it


@pytest.mark.parametrize("body", ["{}", json.dumps(PING)])
async def test_a_request_that_opens_no_session_leaves_none(body: str) -> None:
    async with limited(total=1) as sessions:
        for _ in range(3):
            headers = LEGACY | bearer("ann")
            assert (await sessions.client.post("/mcp", headers=headers, content=body)).status_code == 400
        await sessions.opened("bob")


async def test_a_session_expires_when_nothing_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("memos_mcp.transports.http_sessions.monotonic", lambda: now)
    async with limited(total=1) as sessions:
        await sessions.opened("ann")
        assert (await sessions.open("bob")).status_code == 503
        now += 1_801
        await sessions.opened("bob")
