"""One connection, of several, to an engine in this process whose services are a stand-in."""

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
from memos_mcp.engine import client_connection, clients, run
from memos_mcp.engine.clients import ClientRegistry
from memos_mcp.engine.control import ask
from memos_mcp.ipc.handshake import MAX_BYTES
from memos_mcp.ipc.run_dir import RunDir
from memos_mcp.settings import Settings
from memos_mcp.transports.http import build_http
from tests.stand_in import SCOPE, StandIn
from tests.transports.test_http import call, post
from tests.transports.test_jsonrpc_lines import HELLO, notification, request, store

pytestmark = pytest.mark.anyio

LEAVING = {"memos-as": 1, "answer": "leaving"}


class Guest:
    """A client of the socket."""

    def __init__(self, stream: Any) -> None:
        self._stream = BufferedByteStream(stream)

    async def say(self, *messages: dict[str, Any]) -> None:
        await self.send(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message, or None at the end."""
        with anyio.fail_after(15):
            try:
                message: dict[str, Any] = json.loads(await self._stream.receive_until(b"\n", 1_000_000))
            except (anyio.IncompleteRead, anyio.EndOfStream):
                return None
        return message

    async def greets(self, **told: Any) -> dict[str, Any]:
        await self.say(greeting(**told))
        answer = await self.hear()
        assert answer
        return answer

    async def shakes_hands(self) -> None:
        await self.say(request("initialize", "hello", **HELLO), notification("notifications/initialized"))
        assert ((await self.hear()) or {})["id"] == "hello"

    async def sends_no_more(self) -> None:
        await self._stream.send_eof()


def greeting(**told: Any) -> dict[str, Any]:
    scope = {"namespace": SCOPE.namespace, "agent_id": SCOPE.agent_id}
    return {"memos-as": 1, "want": "serve", "version": __version__, **scope, "settings": {}, **told}


@asynccontextmanager
async def served(
    home: Path, services: StandIn | None = None, *, foreground: bool = False
) -> AsyncIterator[ClientRegistry]:
    """An engine's presence on its socket. It leaves at the end, and must have gone soon after."""
    place = RunDir(str(home))
    place.prepare()
    here = ClientRegistry((services or StandIn(Settings(home=home))).app, place, foreground=foreground)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run._receive_visitors, here, place.listen(), None)
        yield here
        here.leave("the test is over")
        with anyio.fail_after(15):
            await here.left.wait()
    assert place.connect() is None


@asynccontextmanager
async def visiting(here: ClientRegistry) -> AsyncIterator[Guest]:
    async with await anyio.connect_unix(Path(here.place.folder, "engine.sock")) as stream:
        yield Guest(stream)


@asynccontextmanager
async def welcomed(here: ClientRegistry, **told: Any) -> AsyncIterator[Guest]:
    async with visiting(here) as guest:
        assert (await guest.greets(**told))["answer"] == "welcome"
        await guest.shakes_hands()
        yield guest


async def test_a_welcome_says_who_serves_and_mcp_may_follow_the_greeting_at_once(home: Path) -> None:
    async with served(home) as here, visiting(here) as guest:
        await guest.say(greeting(), request("initialize", 1, **HELLO))
        welcome, answer = await guest.hear(), await guest.hear()
    assert welcome is not None
    assert welcome.keys() == {"memos-as", "answer", "pid", "version"}
    assert answer is not None
    assert answer["result"]["serverInfo"]["name"] == "memos-as"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"namespace": ""}, "MEMOS_NAMESPACE"),
        ({"agent_id": 7}, "MEMOS_AGENT_ID"),
        ({"want": "tea"}, "want"),
        ({"memos-as": 2}, "protocol 1"),
    ],
)
async def test_a_greeting_that_cannot_be_met_is_refused_with_the_reason(
    home: Path, told: dict[str, Any], reason: str
) -> None:
    async with served(home) as here, visiting(here) as guest:
        answer = await guest.greets(**told)
        assert answer["answer"] == "refused"
        assert reason in answer["reason"]
        assert await guest.hear() is None


@pytest.mark.parametrize(
    "said", [b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n', b"\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * (MAX_BYTES + 2)]
)
async def test_who_does_not_greet_is_not_answered(home: Path, said: bytes) -> None:
    async with served(home) as here, visiting(here) as guest:
        await guest.send(said)
        with pytest.raises((anyio.BrokenResourceError, AssertionError)):
            assert await guest.hear()


async def test_who_says_nothing_is_not_waited_for_for_long(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "GREETING_SECONDS", 0.1)
    async with served(home) as here, visiting(here) as guest:
        assert await guest.hear() is None


async def test_who_says_nothing_does_not_keep_a_leaving_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FAREWELL_SECONDS", 0.1)
    async with served(home) as here, visiting(here) as guest:
        await anyio.wait_all_tasks_blocked()
        here.leave("it was told to")
        with anyio.fail_after(5):
            assert await guest.hear() is None


async def test_other_settings_are_refused_while_somebody_else_is_served_and_make_the_engine_leave_otherwise(
    home: Path,
) -> None:
    other = {"settings": {"MEMOS_DATABASE_URL": "postgresql://elsewhere"}}
    async with served(home) as here:
        async with welcomed(here) as first, visiting(here) as second:
            assert (await second.greets(**other))["answer"] == "refused"
            await first.sends_no_more()
            assert await first.hear() is None
        async with visiting(here) as third:
            assert (await third.greets(**other))["answer"] == "leaving"
        assert here.leaving.is_set()


async def test_a_connection_that_fails_concerns_nobody_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(home) as here, welcomed(here) as guest:
        with monkeypatch.context() as broken:
            broken.setattr(client_connection, "serve_lines", None)
            async with visiting(here) as unlucky:
                await unlucky.greets()
                assert await unlucky.hear() is None
        await guest.say(store("still there"))
        assert ((await guest.hear()) or {})["result"]["isError"] is False


async def test_the_status_tells_who_is_here_and_how_the_parts_are(home: Path) -> None:
    services = StandIn(Settings(home=home, idle_seconds=77), parts={"postgres": "ok", "index": "being opened"})
    async with served(home, services) as here, welcomed(here):
        told = await ask(here.place, "status")
    assert told is not None
    assert told["parts"] == {"postgres": "ok", "index": "being opened"}
    assert (told["clients"], told["idle_leaves_after"], told["leaving"]) == (1, 77, False)
    assert (told["version"], told["home"], told["http"]) == (__version__, str(home), None)


async def test_a_part_that_does_not_answer_does_not_keep_the_status(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = StandIn(Settings(home=home))
    monkeypatch.setattr(clients, "READY_SECONDS", 0.05)
    monkeypatch.setattr(StandIn, "readiness", lambda _: anyio.sleep_forever())
    async with served(home, services) as here:
        told = await ask(here.place, "status")
    assert told is not None
    assert told["parts"] == {"postgres": "no answer within 0.05 seconds"}


async def test_an_engine_that_leaves_answers_what_is_under_way_and_lets_nobody_in(home: Path) -> None:
    services = StandIn(Settings(home=home))
    async with served(home, services) as here, welcomed(here) as guest, visiting(here) as late:
        await guest.say(store("wait", 5))
        await services.memories.started.wait()
        assert await ask(here.place, "stop") == LEAVING
        assert await guest.hear() == LEAVING
        assert here.place.connect() is None
        assert await late.greets() == LEAVING
        await guest.sends_no_more()
        services.memories.proceed.set()
        assert ((await guest.hear()) or {})["id"] == 5
        assert await guest.hear() is None


async def test_a_client_that_does_not_follow_is_heard_for_a_moment_and_then_left(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "FAREWELL_SECONDS", 0.3)
    async with served(home) as here, welcomed(here) as guest:
        here.leave("it was told to")
        assert await guest.hear() == LEAVING
        await guest.say(store("in the last moment", 6))
        assert ((await guest.hear()) or {})["id"] == 6
        assert await guest.hear() is None


async def test_a_client_that_goes_on_asking_does_not_keep_a_leaving_engine(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "FAREWELL_SECONDS", 0.2)
    async with served(home) as here, welcomed(here) as guest, anyio.create_task_group() as tasks:
        tasks.start_soon(_ask_without_end, guest)
        await guest.hear()
        here.leave("it was told to")
        with anyio.fail_after(5), suppress(anyio.BrokenResourceError):
            while await guest.hear():
                pass


async def _ask_without_end(guest: Guest) -> None:
    with suppress(anyio.BrokenResourceError):
        while True:
            await guest.say(*(request("ping", number) for number in range(500)))


async def test_a_call_that_does_not_end_keeps_a_leaving_engine_for_a_bounded_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_connection, "GRACE_SECONDS", 0.1)
    services = StandIn(Settings(home=home))
    async with served(home, services) as here, welcomed(here) as guest:
        await guest.say(store("wait", 5))
        await services.memories.started.wait()
        here.leave("it was told to")
        assert await guest.hear() == LEAVING
        await guest.sends_no_more()
        answer = await guest.hear()
        assert answer is not None
        assert answer["id"] == 5
        assert "error" in answer


async def test_a_farewell_is_never_inside_another_line(home: Path) -> None:
    async with served(home) as here, welcomed(here) as guest:
        asked = [f"{number} {'x' * 400_000}" for number in range(3)]
        await guest.say(*(request("ping", one) for one in asked))
        await anyio.wait_all_tasks_blocked()  # by a client that does not read: in the middle of a line
        here.leave("it was told to")
        await anyio.wait_all_tasks_blocked()
        await guest.sends_no_more()
        heard = []
        while (message := await guest.hear()) is not None:
            heard.append(message)
    assert heard.count(LEAVING) == 1
    assert sorted(message["id"] for message in heard if "id" in message) == asked


async def test_an_engine_that_cannot_go_on_tells_everybody_why(home: Path) -> None:
    refusal = {"memos-as": 1, "answer": "refused", "reason": "A newer version was here."}
    async with served(home) as here, welcomed(here) as guest, visiting(here) as late:
        here.give_up(MemosError("A newer version was here."))
        assert await guest.hear() == refusal
        assert await late.greets() == refusal


async def test_an_engine_is_idle_only_while_nobody_is_served_and_nothing_is_indexed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "FIRST_VISIT_SECONDS", 0)
    services = StandIn(Settings(home=home))
    async with served(home, services) as here:
        assert here.is_idle(0)
        assert not here.is_idle(60)
        with here.visit():
            assert not here.is_idle(0)
        assert here.is_idle(0)
        services.indexer.caught_up = services.indexer.idle = False
        assert not here.is_idle(0)
        services.indexer.error = "The index is held by another process."
        assert here.is_idle(0)


async def test_an_engine_that_nobody_has_come_to_yet_is_not_idle(home: Path) -> None:
    async with served(home) as here:
        assert not here.is_idle(0)


@pytest.mark.parametrize("again", [False, True], ids=["removed", "another's"])
async def test_an_engine_leaves_when_its_socket_is_gone_and_nobody_is_here(
    home: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(run, "LOOK_SECONDS", 0.01)
    async with served(home) as here, anyio.create_task_group() as tasks:
        tasks.start_soon(run._leave_when_idle, here, 900, run._socket_id(here.place))
        async with welcomed(here):
            if again:
                here.place.listen().close()
            else:
                here.place.leave()
            await anyio.sleep(0.05)
            assert not here.leaving.is_set()
        with anyio.fail_after(5):
            await here.left.wait()
        tasks.cancel_scope.cancel()
    assert (run._socket_id(here.place) is not None) is again, "another engine's is left alone"


async def test_a_request_over_http_is_somebody_who_is_served_and_a_probe_is_nobody(home: Path) -> None:
    services = StandIn(Settings(home=home))
    async with served(home, services) as here:
        web = build_http(services.app, SCOPE, services.settings, here.visit)
        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://127.0.0.1") as client,
            anyio.create_task_group() as tasks,
        ):
            await client.get("/readyz")
            assert not here.is_idle(0), "nobody has come yet"
            tasks.start_soon(post, client, call().replace('"x"', '"wait"'))
            await services.memories.started.wait()
            assert here.in_use
            services.memories.proceed.set()
        assert here.is_idle(0)
