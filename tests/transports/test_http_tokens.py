"""Access tokens over real HTTP: scopes, rights, sessions, revocation in every engine."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from sse_starlette.sse import AppStatus

from memos_mcp.domain.access_token import DEFAULT_RIGHTS, NewAccessToken
from memos_mcp.domain.audit import AuditQuery
from memos_mcp.domain.quotas import Quota
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.audit import PostgresAudit
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.quotas import PostgresQuotas
from memos_mcp.services.access_tokens import AccessTokens, new_token
from memos_mcp.services.audit_trail import AuditTrail
from memos_mcp.services.call_limits import CallLimits
from memos_mcp.services.quota_book import QuotaBook
from memos_mcp.services.token_authenticator import TokenAuthenticator
from memos_mcp.settings import Settings
from memos_mcp.transports.http import HttpServer
from tests.stand_in import SCOPE, stand_in
from tests.transports.test_http import HEADERS, call

pytestmark = pytest.mark.anyio

LEGACY = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}},
}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}


def now() -> datetime:
    return datetime.now(UTC)


class Engine:
    """A server of this process with an authenticator of its own on the database, as another process has."""

    def __init__(self, database: Database, home: Path) -> None:
        store = PostgresAccessTokens(database)
        self.tokens = AccessTokens(store, now)
        self.audit = AuditTrail(PostgresAudit(database), "changes", now)
        self.services = replace(
            stand_in(),
            token_authenticator=TokenAuthenticator(store, now),
            audit=self.audit,
            call_limits=CallLimits(QuotaBook(PostgresQuotas(database), Quota())),
        )
        self.settings = Settings(home=home, port=0)
        self.http = HttpServer(self.services, SCOPE, self.settings)
        self.client = httpx.AsyncClient(base_url=self.http.url, trust_env=False, timeout=20)

    async def token(self, *rights: Right, namespace: str = SCOPE.namespace, **fields: Any) -> str:
        """Make a token of SCOPE, or of its agent in another namespace."""
        new = NewAccessToken(namespace, SCOPE.agent_id, frozenset(rights) or DEFAULT_RIGHTS, **fields)
        return (await self.tokens.create(new))[0]

    async def post(self, token: str, body: Any = None, headers: Mapping[str, str] = HEADERS) -> httpx.Response:
        content = call() if body is None else json.dumps(body)
        return await self.client.post("/mcp", headers={**headers, **bearer(token)}, content=content)

    async def send(self, path: str, token: str) -> httpx.Response:
        return await self.client.post(path, headers=bearer(token), json=INITIALIZE)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def running(*engines: Engine) -> AsyncIterator[None]:
    AppStatus.should_exit = False  # of the servers that this process has stopped before
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        for engine in engines:
            await stack.enter_async_context(engine.client)
            tasks.start_soon(engine.http.serve)
        try:
            yield
        finally:
            for engine in engines:
                engine.http.close()


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine(database, tmp_path)
    async with running(engine):
        yield engine


async def test_a_request_has_the_namespace_and_agent_of_its_token(engine: Engine) -> None:
    engine.services.memories.scope = Scope("elsewhere", SCOPE.agent_id)
    answer = await engine.post(await engine.token(namespace="elsewhere"))
    stored = answer.json()["result"]["structuredContent"]
    assert (stored["namespace"], stored["agent_id"]) == ("elsewhere", SCOPE.agent_id)


async def test_an_expired_a_revoked_and_an_unknown_token_are_refused_alike(engine: Engine) -> None:
    expired = await engine.token(expires_at=now() - timedelta(seconds=1))
    revoked = await engine.token()
    await engine.tokens.revoke(revoked)
    answers = [await engine.post(token) for token in (expired, revoked, new_token()[0])]
    assert {(answer.status_code, answer.text, answer.headers["www-authenticate"]) for answer in answers} == {
        (401, "The access token is not valid.", answers[0].headers["www-authenticate"])
    }
    assert 'error="invalid_token"' in answers[0].headers["www-authenticate"]


async def test_a_token_is_refused_in_every_engine_within_a_second_of_its_revocation(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    second = Database(database_url)
    other = Engine(second, tmp_path)
    async with running(other):
        token = await engine.token()
        refused: list[float] = []

        async def until_refused(one: Engine) -> None:
            while (await one.post(token)).status_code == 200:
                pass
            refused.append(time.monotonic())

        assert {(await one.post(token)).status_code for one in (engine, other)} == {200}
        await AccessTokens(PostgresAccessTokens(second), now).revoke(token)
        revoked = time.monotonic()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for one in (engine, other):
                    tasks.start_soon(until_refused, one)
        assert max(refused) - revoked < 1
    await second.close()


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_client_is_shown_the_tools_that_its_token_may_call(engine: Engine, era: Any) -> None:
    header = bearer(await engine.token("read"))
    async with Client(sse_client(f"{engine.http.url}/sse", headers=header), mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.call_tool("store_memory", {"content": "x"})
    assert names == {"query_memory", "discover_tools", "build_loadout"}
    assert refused.is_error
    assert refused.content[0].text == (  # type: ignore[union-attr]  # it is a text
        "store_memory needs the right write, which this access token does not have. "
        "Ask the operator of this server for a token with it (memos-as token create --rights)."
    )


async def test_a_call_without_its_right_is_counted_and_in_the_audit_trail_with_its_token(engine: Engine) -> None:
    token = await engine.token("read")
    assert "needs the right write" in (await engine.post(token)).text
    await engine.audit.flush()
    (record,) = await engine.audit.find(AuditQuery(SCOPE.namespace))
    assert record.scope is not None
    assert (record.tool, record.outcome) == ("store_memory", "refused")
    assert (record.scope, record.scope.token_id) == (SCOPE, "_".join(token.split("_")[:2]))
    assert engine.services.telemetry.calls == {("store_memory", "refused"): 1}


async def test_metrics_need_the_right_admin(engine: Engine) -> None:
    answer = await engine.client.get("/metrics", headers=bearer(await engine.token("read", "write", "tools")))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].endswith('scope="admin"')
    assert (await engine.client.get("/metrics")).status_code == 401
    assert engine.services.telemetry.unauthenticated == 1


async def test_a_session_belongs_to_the_token_that_opened_it(engine: Engine) -> None:
    own, other = await engine.token(), await engine.token()
    opened = await engine.post(own, INITIALIZE, LEGACY)
    session = {**LEGACY, "mcp-session-id": opened.headers["mcp-session-id"]}
    unknown = await engine.post(other, PING, {**LEGACY, "mcp-session-id": "0" * 32})
    for token in (other, server_token(engine)):
        foreign = await engine.post(token, PING, session)
        assert (foreign.status_code, foreign.text) == (unknown.status_code, unknown.text) == (404, foreign.text)
        deleted = await engine.client.delete("/mcp", headers={**session, **bearer(token)})
        assert deleted.status_code == 404
        stream = await engine.client.get("/mcp", headers={**session, **bearer(token)})
        assert stream.status_code == 404
    assert (await engine.post(own, PING, session)).status_code == 200


async def test_a_session_ends_with_its_token(engine: Engine) -> None:
    own = await engine.token()
    opened = await engine.post(own, INITIALIZE, LEGACY)
    session = {**LEGACY, "mcp-session-id": opened.headers["mcp-session-id"]}
    await engine.tokens.revoke(own)
    with anyio.fail_after(10):
        while (answer := await engine.post(own, PING, session)).status_code == 200:
            pass
    assert answer.status_code == 401


async def test_a_message_to_the_stream_of_another_token_is_one_to_an_unknown_stream(engine: Engine) -> None:
    own, other = await engine.token(), await engine.token()
    async with engine.client.stream("GET", "/sse", headers=bearer(own)) as stream:
        lines = stream.aiter_lines()
        path = [await anext(lines) for _ in range(2)][1].removeprefix("data: ")
        unknown = await engine.send(f"/messages/?session_id={'0' * 32}", other)
        foreign = await engine.send(path, other)
        assert (foreign.status_code, foreign.text) == (unknown.status_code, unknown.text) == (404, foreign.text)
        assert (await engine.send(path, own)).status_code == 202


async def test_a_record_that_cannot_be_asked_refuses_no_token(tmp_path: Path) -> None:
    engine = Engine(Database("postgresql://127.0.0.1:1/none"), tmp_path)
    async with running(engine):
        answer = await engine.post(new_token()[0])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in answer.text
        assert (await engine.post(server_token(engine))).status_code == 200


async def test_the_server_prints_how_to_connect_and_not_its_token(
    capsys: pytest.CaptureFixture[str], engine: Engine
) -> None:
    assert (await engine.post(server_token(engine))).status_code == 200
    printed = capsys.readouterr().err
    header = f'--header "Authorization: Bearer $(cat {engine.settings.home}/http-token)"'
    assert f"claude mcp add --transport http memos {engine.http.url}/mcp {header}\n" in printed
    assert server_token(engine) not in printed


def test_a_server_without_a_token_of_its_own_prints_how_to_make_one() -> None:
    settings = Settings(host="0.0.0.0", port=0, allowed_hosts=("memos.example.com",))
    http = HttpServer(stand_in(), SCOPE, settings)
    http._listener.close()
    assert http._how_to_connect() == "Clients need access tokens: memos-as token create --namespace NAMESPACE\n"


def server_token(engine: Engine) -> str:
    return (engine.settings.home / "http-token").read_text().strip()
