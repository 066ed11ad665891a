"""Calls of MCP servers over streamable HTTP: at allowed hosts and checked addresses, with credentials."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.credentials import Credential, CredentialKind
from memos_mcp.tool_calling.mcp_caller import McpCaller
from memos_mcp.tool_calling.mcp_connection import McpConnector
from memos_mcp.tool_calling.outcomes import CallFailed, ToolAnswer, ToolFailure
from memos_mcp.tool_calling.tool_servers import ServerDown, ToolServer, endpoint_url
from tests.tool_calling.endpoints import free_port, serving
from tests.tool_calling.tool_server import TOOLS, build, calls

pytestmark = pytest.mark.anyio

CANARY = "canary-8a1f27"
READ_ONLY = {"readOnlyHint": True}


@dataclass
class Guarded:
    """The app of an MCP server that asks for a secret; `instead` answers other than MCP at some paths."""

    app: Any
    header: str = "authorization"
    expected: str = f"Bearer {CANARY}"
    refusal: str = f"{CANARY} is asked for"
    instead: Mapping[str, Response] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.queries.append(scope["query_string"].decode())
            self.hosts.append(headers["host"])
            if scope["path"] in self.instead:
                await self.instead[scope["path"]](scope, receive, send)
                return
            if headers.get(self.header) != self.expected:
                await PlainTextResponse(self.refusal, 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Credentials:
    """The `CredentialSource` port in memory."""

    def __init__(self, **held: Credential) -> None:
        self.held = held

    def get(self, name: str) -> Credential | None:
        if name == "broken":
            raise CallFailed("The credential broken has no secret")
        return self.held.get(name)


@contextmanager
def guarded(state: Path, **fields: Any) -> Iterator[tuple[str, Guarded]]:
    app = Guarded(build(state).streamable_http_app(host="any"), **fields)  # the SDK checks the Host of loopback only
    with serving(app) as host:
        yield host, app


def bearer(
    host: str, secret: str = CANARY, kind: CredentialKind = "bearer", parameter: str | None = None
) -> Credentials:
    return Credentials(key=Credential("key", (host,), kind, parameter, SecretStr(secret)))


def caller(
    url: str, credentials: Credentials, private: Sequence[str], auth: str | None = "key", **options: Any
) -> McpCaller:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        return ("93.184.215.14",) if host == "encrypted.example" else ("127.0.0.1",)

    hosts = AllowedHosts(options.pop("hosts", ()), private, resolve)
    connector = McpConnector(hosts, credentials, {}, max_bytes=100_000)
    return McpCaller({"s": ToolServer("s", url=url, auth=auth)}.get, connector, seconds=30, **options)


def tool(name: str, **fields: Any) -> CalledTool:
    return CalledTool(f"s.{name}", endpoint_url("s", name), **fields)


def answered(outcome: ToolAnswer | ToolFailure) -> ToolAnswer:
    assert isinstance(outcome, ToolAnswer), outcome
    return outcome


def failed(outcome: ToolAnswer | ToolFailure) -> ToolFailure:
    assert isinstance(outcome, ToolFailure), outcome
    return outcome


async def test_tools_are_listed_and_called_with_a_credential_that_no_answer_shows(tmp_path: Path) -> None:
    with guarded(tmp_path) as (host, _):
        async with caller(f"http://{host}/mcp", bearer(host), (host,)) as mcp:
            assert [listed.name for listed in await mcp.list_tools("s")] == [tool.name for tool in TOOLS]
            answer = answered(await mcp.call(tool("echo"), {"word": f"<{CANARY}>"}))
            assert answer.value == {"word": "<[credential key]>"}
            assert "The disk is full" in failed(await mcp.call(tool("fails"), {})).what


@pytest.mark.parametrize(
    ("kind", "parameter", "secret", "header", "expected"),
    [
        ("header", "X-Key", CANARY, "x-key", CANARY),
        ("basic", None, f"me:{CANARY}", "authorization", "Basic bWU6Y2FuYXJ5LThhMWYyNw=="),
    ],
)
async def test_every_kind_of_header_is_sent(
    tmp_path: Path, kind: CredentialKind, parameter: str | None, secret: str, header: str, expected: str
) -> None:
    with guarded(tmp_path, header=header, expected=expected) as (host, _):
        async with caller(f"http://{host}/mcp", bearer(host, secret, kind, parameter), (host,)) as mcp:
            assert answered(await mcp.call(tool("text"), {})).value == "text"


async def test_a_secret_in_the_query_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for name in ("memos_mcp", "mcp.client", "httpx2", "httpcore2"):  # which commands silence for their process
        caplog.set_level("DEBUG", name)
    with guarded(tmp_path, header="host", expected="") as (host, app):
        app.expected = host
        async with caller(f"http://{host}/mcp?a=1", bearer(host, CANARY, "query", "key"), (host,)) as mcp:
            assert answered(await mcp.call(tool("text"), {})).value == "text"
    assert set(app.queries) == {f"a=1&key={CANARY}"}
    ours = [record for record in caplog.records if record.name.startswith(("memos_mcp", "mcp.client", "httpx"))]
    assert ours
    assert CANARY not in "".join(record.getMessage() for record in ours)


@pytest.mark.parametrize(
    ("url", "auth", "problem"),
    [
        ("http://HOST/mcp", "other", "its credential other does not exist: memos-as credential set other"),
        ("http://HOST/mcp", "broken", "the credential broken has no secret"),
        ("http://HOST/mcp", "wrong", "it answers with status 401"),
        ("http://HOST/mcp", None, "it answers with status 401"),
        ("http://HOST/nothing", "key", "it answers with status 404"),
        ("http://HOST/elsewhere", "key", "it redirects to another host, which is not followed|Redirect to"),
        ("http://HOST/compressed", "key", "it answers compressed, which it was asked not to"),
        ("http://HOST/page", "key", "it does not answer as an MCP server does|Failed to parse|it refused"),
        ("http://other.example/mcp", "key", "its host is not one that may be called here"),
        ("ftp://HOST/mcp", "key", "not an http or https URL"),
        ("http://localhost:PORT/mcp", "key", "the credential key is not for its host"),
        ("http://public.example:PORT/mcp", None, "private address"),
        ("http://encrypted.example/mcp", "public", "its credential public is not sent unencrypted to a public host"),
    ],
)
async def test_a_server_that_cannot_be_used_is_reported_without_the_secret(
    tmp_path: Path, url: str, auth: str | None, problem: str
) -> None:
    compressed = Response(
        gzip.compress(b"{}"), headers={"content-encoding": "gzip", "content-type": "application/json"}
    )
    instead = {
        "/elsewhere": RedirectResponse("http://elsewhere.example/mcp", 307),
        "/compressed": compressed,
        "/page": JSONResponse({"hello": CANARY}),
    }
    with guarded(tmp_path, instead=instead) as (host, app):
        credentials = bearer(host)
        credentials.held["wrong"] = Credential("wrong", (host,), "bearer", None, SecretStr("wrong-secret"))
        credentials.held["public"] = Credential("public", ("encrypted.example",), "bearer", None, SecretStr(CANARY))
        port = host.partition(":")[2]
        address = url.replace("HOST", host).replace("PORT", port)
        allowed = caller(
            address,
            credentials,
            (host, f"localhost:{port}"),
            auth,
            hosts=(f"public.example:{port}", "encrypted.example"),
        )
        async with allowed as mcp:
            with pytest.raises(ServerDown, match=problem) as down:
                await mcp.list_tools("s")
            failure = failed(await mcp.call(tool("text"), {}))
    assert failure.effect == "none"
    assert CANARY not in f"{down.value}{failure.what}"
    assert calls(tmp_path) == []
    assert "elsewhere.example" not in app.hosts


async def test_an_answer_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with guarded(tmp_path) as (host, _):
        async with caller(f"http://{host}/mcp", bearer(host), (host,)) as mcp:
            failure = failed(await mcp.call(tool("large"), {"size": 1_000_000}))
            assert (
                failure.what == "It answered with what cannot be read: its answer is larger than 100,000 bytes. "
                "Whether it was done is not known."
            )
            assert failure.effect == "unknown"
            assert answered(await mcp.call(tool("text"), {})).value == "text"


async def test_a_replaced_secret_counts_from_the_next_request_on(tmp_path: Path) -> None:
    with guarded(tmp_path) as (host, app):
        credentials = bearer(host)
        async with caller(f"http://{host}/mcp", credentials, (host,)) as mcp:
            answered(await mcp.call(tool("text"), {}))
            app.expected = "Bearer another-canary"
            refused = failed(await mcp.call(tool("text"), {}))
            assert refused.what.startswith("The MCP server refused the call: it answers with status 401.")
            credentials.held.update(bearer(host, "another-canary").held)
            answer = answered(await mcp.call(tool("echo"), {"word": "another-canary"}))
            assert answer.value == {"word": "[credential key]"}


async def test_a_server_that_is_away_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    host = f"127.0.0.1:{port}"
    async with caller(f"http://{host}/mcp", bearer(host), (host,)) as mcp:
        failure = failed(await mcp.call(tool("text"), {}))
        assert (failure.what, failure.effect) == ("The MCP server s cannot be used: it cannot be reached.", "none")
        with serving(Guarded(build(tmp_path).streamable_http_app()), port):
            assert answered(await mcp.call(tool("text"), {})).value == "text"
        failure = failed(await mcp.call(tool("text", annotations=READ_ONLY), {}))
        assert (failure.effect, failure.retryable) == ("none", True)
        with serving(Guarded(build(tmp_path).streamable_http_app()), port):
            assert answered(await mcp.call(tool("text"), {})).value == "text"


async def test_the_connection_is_made_to_the_address_that_was_checked(tmp_path: Path) -> None:
    with guarded(tmp_path) as (host, app):
        name = f"tools.example:{host.partition(':')[2]}"
        answers = iter([("127.0.0.1",)])

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            return next(answers, ("192.0.2.1",))

        connector = McpConnector(AllowedHosts((), (name,), resolve), bearer(name), {}, max_bytes=100_000)
        server = ToolServer("s", url=f"http://{name}/mcp", auth="key")
        async with McpCaller({"s": server}.get, connector, seconds=30) as mcp:
            assert len(await mcp.list_tools("s")) == len(TOOLS)
            assert answered(await mcp.call(tool("text"), {})).value == "text"
    assert set(app.hosts) == {name}
