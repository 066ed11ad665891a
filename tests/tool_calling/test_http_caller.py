import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.credentials import Credential
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure
from tests.tool_calling.endpoints import free_port, serving, within

pytestmark = pytest.mark.anyio

CANARY = "canary-4f9c21b7"


@dataclass
class Api:
    """A service that records each request and answers with its lines in order, then with the last."""

    lines: list[Response | Callable[[Request], Response]] = field(default_factory=lambda: [JSONResponse({"ok": True})])
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        target = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}".rstrip("?")
        self.seen.append((request.method, target, await request.body()))
        self.headers.append(dict(request.headers))
        line = self.lines[min(len(self.seen), len(self.lines)) - 1]
        await (line if isinstance(line, Response) else line(request))(scope, receive, send)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def host(api: Api) -> Iterator[str]:
    with serving(api, lifespan="off", date_header=False) as host:
        yield host


class Credentials:
    """The credentials of an operator, by name."""

    def __init__(self, *known: Credential) -> None:
        self._known = {credential.name: credential for credential in known}

    def get(self, name: str) -> Credential | None:
        return self._known.get(name)


def tool(host: str, path: str = "/pets/{id}", method: str = "GET", **changed: Any) -> CalledTool:
    schema = {"type": "object", "properties": {"id": {}}, **changed.pop("schema", {})}
    return CalledTool("pets", f"http://{host}{path}", method, schema, **changed)


async def call(host: str, one: CalledTool, arguments: Mapping[str, Any], **options: Any) -> ToolAnswer | ToolFailure:
    with anyio.fail_after(20):
        return await ToolCaller(private_hosts=[host], **options).call(one, arguments)


async def failed(host: str, one: CalledTool, arguments: Mapping[str, Any], **options: Any) -> ToolFailure:
    failure = await call(host, one, arguments, **options)
    assert isinstance(failure, ToolFailure)
    return failure


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_each_method_arrives_with_its_parameters(api: Api, host: str, method: str) -> None:
    answer = await call(host, tool(host, method=method), {"id": "a/b", "word": "ü"})
    assert isinstance(answer, ToolAnswer)
    query = "?word=%C3%BC" if method in {"GET", "HEAD", "DELETE"} else ""
    assert api.seen == [(method, f"/pets/a%2Fb{query}", b"" if query else '{"word":"ü"}'.encode())]
    assert api.headers[0]["host"] == host


async def test_a_call_without_a_body_in_its_answer_is_done(api: Api, host: str) -> None:
    api.lines = [Response(status_code=204), Response(status_code=303, headers={"location": "/pets/5"})]
    answer = await call(host, tool(host, method="DELETE"), {"id": 5})
    assert answer == ToolAnswer("pets", None, "done, but its answer has no body (status 204)", 204)
    answer = await call(host, tool(host, method="POST"), {"id": 5})
    assert answer == ToolAnswer("pets", None, "done, but its result is elsewhere (status 303): /pets/5", 303)
    assert [method for method, _, _ in api.seen] == ["DELETE", "POST"]


async def test_a_redirect_of_a_get_is_followed_and_one_of_a_put_keeps_its_method(api: Api, host: str) -> None:
    api.lines = [RedirectResponse("/b?x=1", 303), JSONResponse(1)]
    assert await call(host, tool(host), {"id": "a"}) == ToolAnswer("pets", 1, status=200)
    assert api.seen[1][:2] == ("GET", "/b?x=1")
    api.seen.clear()
    api.lines = [RedirectResponse("/b", 308), JSONResponse(2)]
    assert await call(host, tool(host, method="PUT"), {"id": "a", "x": 1}) == ToolAnswer("pets", 2, status=200)
    assert api.seen[1] == ("PUT", "/b", b'{"x":1}')


@pytest.mark.parametrize(
    ("status", "effect", "retryable"), [(400, "none", False), (404, "none", False), (500, "unknown", True)]
)
async def test_a_failure_says_whether_its_effect_is_known(
    api: Api, host: str, status: int, effect: str, retryable: bool
) -> None:
    api.lines = [PlainTextResponse("because", status)]
    failure = await failed(host, tool(host, method="DELETE"), {"id": 5})
    assert (failure.effect, failure.retryable) == (effect, retryable)
    assert failure.what.startswith(f"It answered with status {status}: because.")
    assert ("Whether it was done is not known." in failure.what) == (effect == "unknown")
    assert (await failed(host, tool(host), {"id": 5})).effect == "none"


@pytest.mark.parametrize("by_date", [False, True])
async def test_a_busy_tool_is_called_again_after_the_time_that_it_asks_for(api: Api, host: str, by_date: bool) -> None:
    clock = datetime(2020, 1, 1, tzinfo=UTC)  # another clock than that of this machine
    wait = format_datetime(clock + timedelta(seconds=1), usegmt=True) if by_date else "1"
    busy = Response(status_code=429, headers={"retry-after": wait, "date": format_datetime(clock, usegmt=True)})
    api.lines = [busy, JSONResponse(1)]
    began = anyio.current_time()
    assert await call(host, tool(host), {"id": 5}) == ToolAnswer("pets", 1, status=200)
    assert anyio.current_time() - began >= 1


async def test_a_wait_beyond_the_limit_is_reported_at_once(api: Api, host: str) -> None:
    api.lines = [Response(status_code=503, headers={"retry-after": "120"})]
    async with within(5):
        failure = await failed(host, tool(host), {"id": 5})
    assert failure == ToolFailure(
        "pets", "It answered with status 503. It asks to wait 120 s.", retryable=True, retry_after=120
    )
    assert len(api.seen) == 1


async def test_a_call_with_an_effect_is_repeated_only_with_an_idempotency_key(api: Api, host: str) -> None:
    api.lines = [Response(status_code=503), JSONResponse(1)]
    schema = {"properties": {"Idempotency-Key": {"x-in": "header"}}}
    one = tool(host, "/pets", "POST", schema=schema)
    assert (await failed(host, one, {"x": 1})).effect == "unknown"
    assert len(api.seen) == 1
    api.seen.clear()
    assert await call(host, one, {"x": 1, "Idempotency-Key": "k1"}) == ToolAnswer("pets", 1, status=200)
    assert [body for _, _, body in api.seen] == [b'{"x":1}'] * 2
    assert [headers["idempotency-key"] for headers in api.headers[1:]] == ["k1", "k1"]


async def test_events_are_read_up_to_the_limit_of_time(api: Api, host: str) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await anyio.sleep_forever()

    api.lines = [lambda _: StreamingResponse(events(), media_type="text/event-stream")]
    answer = await call(host, tool(host), {"id": 5}, seconds=0.5)
    assert isinstance(answer, ToolAnswer)
    assert answer.value == "data: 1\n\n"
    assert "did not end in time" in str(answer.note)


@contextmanager
def answering(data: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer each connection with these bytes and close it; yield the host and the requests."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(data)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


async def test_an_answer_that_broke_off_is_done_for_a_post_and_repeated_for_a_get() -> None:
    with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": ') as (host, seen):
        answer = await call(host, tool(host, method="PUT"), {"id": 5})
        assert answer == ToolAnswer("pets", '{"a": ', "done, but its answer broke off after 6 bytes", 200)
        assert len(seen) == 1
        failure = await failed(host, tool(host), {"id": 5})
        assert failure == ToolFailure("pets", "It broke off the answer.", retryable=True)
        assert len(seen) == 4


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nA\r\n\r\n"])
async def test_an_answer_that_is_not_http_has_an_unknown_effect(data: bytes) -> None:
    with answering(data) as (host, seen):
        failure = await failed(host, tool(host, method="DELETE"), {"id": 5})
    assert (failure.effect, len(seen)) == ("unknown", 1)


async def test_the_secret_of_a_tool_is_sent_to_its_host_only(
    api: Api, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = Credential("pets", [host], "query", "key", SecretStr(CANARY))
    api.lines = [
        lambda request: JSONResponse({"echo": str(request.url), CANARY: 1}, headers={"x-echo": CANARY}),
        lambda request: PlainTextResponse(f"no: {request.url}", 403),
        lambda request: RedirectResponse(f"/moved?{request.url.query}", 307),
        lambda request: JSONResponse(str(request.url.query)),
        RedirectResponse(f"http://127.0.0.1:{free_port()}/{CANARY}", 307),
    ]
    one, options = tool(host, auth="pets"), {"credentials": Credentials(key)}
    answers = [await call(host, one, {"id": number}, **options) for number in range(4)]
    assert answers[0] == ToolAnswer(
        "pets", {"echo": f"http://{host}/pets/0?key=[credential pets]", "[credential pets]": 1}, status=200
    )
    assert isinstance(answers[1], ToolFailure)
    assert answers[2] == ToolAnswer("pets", "key=[credential pets]", status=200)
    assert isinstance(answers[3], ToolFailure)
    assert "another host" in answers[3].what
    assert CANARY not in f"{answers} {caplog.text}"
    assert all(f"key={CANARY}" in target for _, target, _ in api.seen)


async def test_a_credential_that_cannot_be_used_is_reported_and_nothing_is_sent(api: Api, host: str) -> None:
    other = Credential("other", ["api.example.com"], "bearer", None, SecretStr(CANARY))
    options = {"credentials": Credentials(other)}
    assert "memos-as credential set pets" in (await failed(host, tool(host, auth="pets"), {"id": 1})).what
    assert "not for its host" in (await failed(host, tool(host, auth="other"), {"id": 1}, **options)).what
    assert api.seen == []


async def test_a_secret_is_not_sent_unencrypted_to_a_public_host() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["93.184.215.14"]

    key = Credential("pets", ["api.example.com"], "bearer", None, SecretStr(CANARY))
    caller = ToolCaller(["api.example.com"], credentials=Credentials(key), resolve=resolve)
    failure = await caller.call(tool("api.example.com", auth="pets"), {"id": 5})
    assert isinstance(failure, ToolFailure)
    assert "unencrypted" in failure.what


async def test_a_name_that_moves_after_the_check_is_called_at_the_checked_address(api: Api, host: str) -> None:
    port = host.partition(":")[2]
    named, addresses = f"rebinding.internal:{port}", [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def resolve(name: str, _: int) -> list[str]:
        asked.append(name)
        return addresses[min(len(asked), 2) - 1]

    api.lines = [RedirectResponse("/second", 307), JSONResponse(1)]
    caller = ToolCaller(private_hosts=[named], resolve=resolve)
    assert await caller.call(tool(named), {"id": 5}) == ToolAnswer("pets", 1, status=200)
    assert (len(asked), [headers["host"] for headers in api.headers]) == (1, [named, named])
    second = await caller.call(tool(named), {"id": 5})
    assert isinstance(second, ToolFailure)
    assert "never called" in second.what
    assert len(api.seen) == 2


@pytest.mark.parametrize("where", ["request_schema", "response_schema"])
async def test_a_slow_pattern_does_not_hold_up_anything_else(
    api: Api, host: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memos_mcp.tool_calling.pattern_guard.GUARD_SECONDS", 1.0)
    bait = "a" * 40 + "!"
    api.lines = [JSONResponse(bait)]
    slow = {"properties": {"id": {"pattern": "^(a+)+$"}}} if where == "request_schema" else {"pattern": "^(a+)+$"}
    one = tool(host, schema=slow) if where == "request_schema" else tool(host, response_schema=slow)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.05)
            ticks += 1

    async with anyio.create_task_group() as beside:
        beside.start_soon(tick)
        answer = await call(host, one, {"id": bait})
        beside.cancel_scope.cancel()
    assert ticks >= 5
    reason = answer.what if isinstance(answer, ToolFailure) else str(answer.note)
    assert f"{where} cannot be used: its patterns cannot be checked in time" in reason


async def test_a_tool_of_a_server_is_called_there() -> None:
    class Servers:
        async def call(self, one: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure:
            return ToolAnswer(one.tool_id, dict(arguments))

    one = CalledTool("files.read", "mcp://files/read", request_schema={"type": "object", "required": ["path"]})
    assert await ToolCaller(servers=Servers()).call(one, {"path": "a"}) == ToolAnswer("files.read", {"path": "a"})
    for caller, arguments in ((ToolCaller(), {"path": "a"}), (ToolCaller(servers=Servers()), {})):
        assert isinstance(await caller.call(one, arguments), ToolFailure)
