"""Connections to an engine in this process whose services are stand-ins."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.streams.buffered import BufferedByteStream

from memos_mcp import __version__
from memos_mcp.domain.errors import MemosError
from memos_mcp.engine import client_connection, run
from memos_mcp.engine import clients as clients_module
from memos_mcp.engine.clients import ClientRegistry
from memos_mcp.engine.control import ask
from memos_mcp.ipc.handshake import MAX_BYTES
from memos_mcp.ipc.run_dir import RunDir
from memos_mcp.settings import Settings
from memos_mcp.transports.http import build_http
from tests.stand_in import SCOPE, StandInApp, stand_in
from tests.transports.test_http import call, post
from tests.transports.test_jsonrpc_lines import HELLO, notification, request, store

pytestmark = pytest.mark.anyio

LEAVING = {"memos-as": 1, "answer": "leaving"}


class SocketClient:
    """A client of the socket."""

    def __init__(self, stream: Any) -> None:
        self._stream = BufferedByteStream(stream)

    async def send(self, *messages: dict[str, Any]) -> None:
        await self.send_bytes(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def send_bytes(self, data: bytes) -> None:
        await self._stream.send(data)

    async def read(self) -> dict[str, Any] | None:
        """Return the next message, or None at the end."""
        with anyio.fail_after(15):
            try:
                message: dict[str, Any] = json.loads(await self._stream.receive_until(b"\n", 1_000_000))
            except (anyio.IncompleteRead, anyio.EndOfStream):
                return None
        return message

    async def handshake(self, **payload: Any) -> dict[str, Any]:
        await self.send(serve_request(**payload))
        answer = await self.read()
        assert answer
        return answer

    async def initialize(self) -> None:
        await self.send(request("initialize", "hello", **HELLO), notification("notifications/initialized"))
        assert ((await self.read()) or {})["id"] == "hello"

    async def sends_no_more(self) -> None:
        await self._stream.send_eof()


def serve_request(**payload: Any) -> dict[str, Any]:
    scope = {"namespace": SCOPE.namespace, "agent_id": SCOPE.agent_id}
    return {"memos-as": 1, "want": "serve", "version": __version__, **scope, "settings": {}, **payload}


@asynccontextmanager
async def served(
    home: Path, services: StandInApp | None = None, *, foreground: bool = False
) -> AsyncIterator[ClientRegistry]:
    """Serve the socket of an engine; it stops at the end, and must do so soon."""
    run_dir = RunDir(str(home))
    run_dir.prepare()
    clients = ClientRegistry(services or stand_in(Settings(home=home)), run_dir, foreground=foreground)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run._serve_clients, clients, run_dir.listen(), None)
        yield clients
        clients.stop("the test is over")
        with anyio.fail_after(15):
            await clients.drained.wait()
    assert run_dir.connect() is None


@asynccontextmanager
async def connected(clients: ClientRegistry) -> AsyncIterator[SocketClient]:
    async with await anyio.connect_unix(Path(clients.run_dir.folder, "engine.sock")) as stream:
        yield SocketClient(stream)


@asynccontextmanager
async def welcomed(clients: ClientRegistry, **payload: Any) -> AsyncIterator[SocketClient]:
    async with connected(clients) as client:
        assert (await client.handshake(**payload))["answer"] == "welcome"
        await client.initialize()
        yield client


async def test_a_welcome_names_the_engine_and_mcp_may_follow_the_request_at_once(home: Path) -> None:
    async with served(home) as clients, connected(clients) as client:
        await client.send(serve_request(), request("initialize", 1, **HELLO))
        welcome, answer = await client.read(), await client.read()
    assert welcome is not None
    assert welcome.keys() == {"memos-as", "answer", "pid", "version"}
    assert answer is not None
    assert answer["result"]["serverInfo"]["name"] == "memos-as"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"namespace": ""}, "MEMOS_NAMESPACE"),
        ({"agent_id": 7}, "MEMOS_AGENT_ID"),
        ({"want": "tea"}, "want"),
        ({"memos-as": 2}, "protocol 1"),
    ],
)
async def test_an_invalid_request_is_refused_with_the_reason(home: Path, payload: dict[str, Any], reason: str) -> None:
    async with served(home) as clients, connected(clients) as client:
        answer = await client.handshake(**payload)
        assert answer["answer"] == "refused"
        assert reason in answer["reason"]
        assert await client.read() is None


@pytest.mark.parametrize(
    "sent", [b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n', b"\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * (MAX_BYTES + 2)]
)
async def test_a_connection_without_a_handshake_is_not_answered(home: Path, sent: bytes) -> None:
    async with served(home) as clients, connected(clients) as client:
        await client.send_bytes(sent)
        with pytest.raises((anyio.BrokenResourceError, AssertionError)):
            assert await client.read()


async def test_a_silent_connection_is_closed_after_a_while(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_module, "HANDSHAKE_SECONDS", 0.1)
    async with served(home) as clients, connected(clients) as client:
        assert await client.read() is None


async def test_a_silent_connection_does_not_keep_a_stopping_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_module, "NOTICE_SECONDS", 0.1)
    async with served(home) as clients, connected(clients) as client:
        await anyio.wait_all_tasks_blocked()
        clients.stop("requested")
        with anyio.fail_after(5):
            assert await client.read() is None


async def test_other_settings_are_refused_while_another_client_is_served_and_stop_the_engine_otherwise(
    home: Path,
) -> None:
    other = {"settings": {"MEMOS_DATABASE_URL": "postgresql://elsewhere"}}
    async with served(home) as clients:
        async with welcomed(clients) as first, connected(clients) as second:
            assert (await second.handshake(**other))["answer"] == "refused"
            await first.sends_no_more()
            assert await first.read() is None
        async with connected(clients) as third:
            assert (await third.handshake(**other))["answer"] == "leaving"
        assert clients.stopping.is_set()


async def test_a_failed_connection_does_not_affect_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(home) as clients, welcomed(clients) as client:
        with monkeypatch.context() as broken:
            broken.setattr(client_connection, "serve_lines", None)
            async with connected(clients) as unlucky:
                await unlucky.handshake()
                assert await unlucky.read() is None
        await client.send(store("still there"))
        assert ((await client.read()) or {})["result"]["isError"] is False


async def test_the_status_counts_the_clients_and_shows_the_parts(home: Path) -> None:
    services = stand_in(Settings(home=home, idle_seconds=77), parts={"postgres": "ok", "index": "being opened"})
    async with served(home, services) as clients, welcomed(clients):
        payload = await ask(clients.run_dir, "status")
    assert payload is not None
    assert payload["parts"] == {"postgres": "ok", "index": "being opened"}
    assert (payload["clients"], payload["idle_leaves_after"], payload["leaving"]) == (1, 77, False)
    assert (payload["version"], payload["home"], payload["http"]) == (__version__, str(home), None)


async def test_a_part_that_does_not_answer_does_not_delay_the_status(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = stand_in(Settings(home=home))
    monkeypatch.setattr(clients_module, "READY_SECONDS", 0.05)
    monkeypatch.setattr(StandInApp, "readiness", lambda _: anyio.sleep_forever())
    async with served(home, services) as clients:
        payload = await ask(clients.run_dir, "status")
    assert payload is not None
    assert payload["parts"] == {"postgres": "no answer within 0.05 seconds"}


async def test_a_stopping_engine_answers_calls_under_way_and_accepts_no_client(home: Path) -> None:
    services = stand_in(Settings(home=home))
    async with served(home, services) as clients, welcomed(clients) as client, connected(clients) as late:
        await client.send(store("wait", 5))
        await services.memories.started.wait()
        assert await ask(clients.run_dir, "stop") == LEAVING
        assert await client.read() == LEAVING
        assert clients.run_dir.connect() is None
        assert await late.handshake() == LEAVING
        await client.sends_no_more()
        services.memories.proceed.set()
        assert ((await client.read()) or {})["id"] == 5
        assert await client.read() is None


async def test_a_client_that_stays_is_served_for_a_moment_and_then_disconnected(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "NOTICE_SECONDS", 0.3)
    async with served(home) as clients, welcomed(clients) as client:
        clients.stop("requested")
        assert await client.read() == LEAVING
        await client.send(store("in the last moment", 6))
        assert ((await client.read()) or {})["id"] == 6
        assert await client.read() is None


async def test_a_client_that_keeps_sending_does_not_keep_a_stopping_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "NOTICE_SECONDS", 0.2)
    async with served(home) as clients, welcomed(clients) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_keep_sending, client)
        await client.read()
        clients.stop("requested")
        with anyio.fail_after(5), suppress(anyio.BrokenResourceError):
            while await client.read():
                pass


async def _keep_sending(client: SocketClient) -> None:
    with suppress(anyio.BrokenResourceError):
        while True:
            await client.send(*(request("ping", number) for number in range(500)))


async def test_a_call_that_does_not_finish_keeps_a_stopping_engine_for_a_bounded_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "GRACE_SECONDS", 0.1)
    services = stand_in(Settings(home=home))
    async with served(home, services) as clients, welcomed(clients) as client:
        await client.send(store("wait", 5))
        await services.memories.started.wait()
        clients.stop("requested")
        assert await client.read() == LEAVING
        await client.sends_no_more()
        answer = await client.read()
        assert answer is not None
        assert answer["id"] == 5
        assert "error" in answer


async def test_a_shutdown_notice_is_never_inside_another_line(home: Path) -> None:
    async with served(home) as clients, welcomed(clients) as client:
        asked = [f"{number} {'x' * 400_000}" for number in range(3)]
        await client.send(*(request("ping", one) for one in asked))
        await anyio.wait_all_tasks_blocked()  # in the middle of a line, as the client does not read
        clients.stop("requested")
        await anyio.wait_all_tasks_blocked()
        await client.sends_no_more()
        received = []
        while (message := await client.read()) is not None:
            received.append(message)
    assert received.count(LEAVING) == 1
    assert sorted(message["id"] for message in received if "id" in message) == asked


async def test_a_failed_engine_sends_every_client_the_reason(home: Path) -> None:
    refusal = {"memos-as": 1, "answer": "refused", "reason": "A newer version was clients."}
    async with served(home) as clients, welcomed(clients) as client, connected(clients) as late:
        clients.fail(MemosError("A newer version was clients."))
        assert await client.read() == refusal
        assert await late.handshake() == refusal


async def test_an_engine_is_idle_only_without_clients_and_without_indexing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients_module, "FIRST_CLIENT_SECONDS", 0)
    services = stand_in(Settings(home=home))
    async with served(home, services) as clients:
        assert clients.is_idle(0)
        assert not clients.is_idle(60)
        with clients.track_client():
            assert not clients.is_idle(0)
        assert clients.is_idle(0)
        services.indexer.caught_up = services.indexer.idle = False
        assert not clients.is_idle(0)
        services.indexer.error = "The index is held by another process."
        assert clients.is_idle(0)


async def test_an_engine_before_its_first_client_is_not_idle(home: Path) -> None:
    async with served(home) as clients:
        assert not clients.is_idle(0)


@pytest.mark.parametrize("again", [False, True], ids=["removed", "another's"])
async def test_an_engine_without_clients_stops_when_its_socket_is_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(run, "IDLE_CHECK_SECONDS", 0.01)
    async with served(home) as clients, anyio.create_task_group() as tasks:
        tasks.start_soon(run._stop_when_idle, clients, 900, run._socket_id(clients.run_dir))
        async with welcomed(clients):
            if again:
                clients.run_dir.listen().close()
            else:
                clients.run_dir.remove_socket()
            await anyio.sleep(0.05)
            assert not clients.stopping.is_set()
        with anyio.fail_after(5):
            await clients.drained.wait()
        tasks.cancel_scope.cancel()
    assert (run._socket_id(clients.run_dir) is not None) is again, "another engine's socket is kept"


async def test_a_request_over_http_counts_as_a_client_and_a_probe_does_not(home: Path) -> None:
    services = stand_in(Settings(home=home, auth="none"))
    async with served(home, services) as clients:
        web = build_http(services, SCOPE, services.settings, clients.track_client)
        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://127.0.0.1") as client,
            anyio.create_task_group() as tasks,
        ):
            await client.get("/readyz")
            assert not clients.is_idle(0), "there has been no client yet"
            tasks.start_soon(post, client, call().replace('"x"', '"wait"'))
            await services.memories.started.wait()
            assert clients.in_use
            services.memories.proceed.set()
        assert clients.is_idle(0)
