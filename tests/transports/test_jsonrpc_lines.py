import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import types

from memos_mcp.ipc.line_buffer import MAX_LINE_BYTES
from memos_mcp.mcp_server.server import build_server
from memos_mcp.transports.fd_streams import Receive
from memos_mcp.transports.jsonrpc_lines import GRACE_SECONDS, MAX_IN_FLIGHT, parse, serve_lines
from tests.stand_in import SCOPE, StandInApp, memory_hit, memory_page, stand_in

pytestmark = pytest.mark.anyio

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
STORE = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"store_memory","arguments":{"content":"x",%s}}}'
ID_LAST = (
    '{"method":"tools/call","params":{"name":"store_memory","arguments":{"content":"x",%s}},"jsonrpc":"2.0","id":7}'
)


class Wire:
    """A client's end of the two streams."""

    def __init__(self, services: StandInApp, grace: float = GRACE_SECONDS) -> None:
        self.services = services
        self.grace = grace
        self.to_server, self._requests = anyio.create_memory_object_stream[bytes](100)
        self._answers, self.from_server = anyio.create_memory_object_stream[bytes](100)
        self.reading = anyio.CancelScope()
        self.ended = anyio.Event()

    async def serve(self) -> None:
        with self._requests, self._answers:
            server = build_server(self.services, SCOPE)
            receive = end_as_empty(self._requests.receive)
            await serve_lines(server, receive, self._answers.send, reading=self.reading, grace=self.grace)
        self.ended.set()

    async def send(self, *lines: bytes | str | dict[str, Any]) -> None:
        for line in lines:
            text = json.dumps(line) if isinstance(line, dict) else line
            await self.to_server.send((text.encode() if isinstance(text, str) else text) + b"\n")

    async def read(self) -> dict[str, Any]:
        with anyio.fail_after(5):
            answer: dict[str, Any] = json.loads(await self.from_server.receive())
        return answer

    async def read_answer(self, request_id: int | str | None) -> dict[str, Any]:
        answer = await self.read()
        assert answer["id"] == request_id
        return answer


def end_as_empty(receive: Receive) -> Receive:
    async def receive_or_empty() -> bytes:
        try:
            return await receive()
        except anyio.EndOfStream:
            return b""

    return receive_or_empty


@asynccontextmanager
async def connected(grace: float = GRACE_SECONDS) -> AsyncIterator[Wire]:
    """A client that has made the handshake."""
    wire = Wire(stand_in(), grace)
    with wire.to_server, wire.from_server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wire.serve)
            await wire.send(request("initialize", "hello", **HELLO), notification("notifications/initialized"))
            await wire.read_answer("hello")
            yield wire
            tasks.cancel_scope.cancel()


def request(method: str, request_id: int | str = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def notification(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def store(content: str, request_id: int | str = 1) -> dict[str, Any]:
    return request("tools/call", request_id, name="store_memory", arguments={"content": content})


async def still_serves(wire: Wire) -> bool:
    await wire.send(store("the next call"))
    return (await wire.read_answer(1))["result"]["isError"] is False


@pytest.mark.parametrize("form", [STORE, ID_LAST], ids=["id first", "id last"])
@pytest.mark.parametrize(
    ("broken", "code", "words", "request_id"),
    [
        (r'"metadata":{"a":"\ud83d"}', -32602, "unpaired surrogate", 7),
        (r'"tags":["\udc00"]', -32602, "unpaired surrogate", 7),
        (r'"\ud83d":1', -32602, "unpaired surrogate", 7),
        ('"metadata":{"a":%s}' % ("9" * 5_000), -32602, "thousands of digits", 7),
        ('"metadata":{"a":%s}' % ("[" * 1_000 + "]" * 1_000), -32602, "nested too deeply", 7),
        ('"metadata":{"a":%s}' % ('{"b":' * 100_000 + "1" + "}" * 100_000), -32602, "nested too deeply", 7),
        ('"metadata":{broken}', -32700, "Parse error", None),
        ('"metadata":{"a":\x01}', -32700, "Parse error", None),
    ],
    ids=[
        "surrogate",
        "surrogate tag",
        "surrogate key",
        "digits",
        "deep list",
        "deep object",
        "syntax",
        "control character",
    ],
)
async def test_a_broken_call_is_answered_under_its_id_if_it_is_json_and_the_next_one_works(
    form: str, broken: str, code: int, words: str, request_id: int | None
) -> None:
    async with connected() as wire:
        await wire.send(form % broken)
        error = (await wire.read_answer(request_id))["error"]
        assert error["code"] == code
        assert words in error["message"]
        assert wire.services.memories.stored == []
        assert await still_serves(wire)


async def test_invalid_utf_8_is_a_parse_error_under_the_calls_id() -> None:
    async with connected() as wire:
        await wire.send((STORE % '"session_id":"?"').encode().replace(b"?", b"\xff"))
        error = (await wire.read_answer(7))["error"]
        assert (error["code"], "UTF-8" in error["message"]) == (-32700, True)
        assert await still_serves(wire)


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        ('[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        ("[]", -32600, None),
        ("5", -32600, None),
        ('"text"', -32600, None),
        ("{}", -32600, None),
        ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
        (r'{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}', -32602, None),
        ('{"id":3,"method":"ping"}', -32600, 3),
        ('{"jsonrpc":"2.0","id":3,"method":"ping","params":[1]}', -32600, 3),
        ('{"jsonrpc":"2.0","id":"x","method":5}', -32600, "x"),
        ('{"jsonrpc":"2.0","id":3,"result":5}', -32600, None),
        ('{"jsonrpc":"2.0","id":3,"method":"no/such"}', -32601, 3),
        ('{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"store_memory","arguments":"{}"}}', -32602, 3),
        ('{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"nope"}}', -32602, 3),
        ('{"jsonrpc":"2.0","params":{"a":{"id":5}', -32700, None),
        ("garbage", -32700, None),
    ],
)
async def test_other_lines_get_an_error_and_the_next_call_works(
    line: str, code: int, request_id: int | str | None
) -> None:
    async with connected() as wire:
        await wire.send(line)
        assert (await wire.read_answer(request_id))["error"]["code"] == code
        assert await still_serves(wire)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "9" * 30])
async def test_a_number_that_json_cannot_carry_reaches_the_checks_and_is_refused(number: str) -> None:
    async with connected() as wire:
        await wire.send(STORE % f'"metadata":{{"a":[{number}]}}')
        result = (await wire.read_answer(7))["result"]
        assert result["isError"]
        assert "Send it as text" in result["content"][0]["text"]
        assert wire.services.memories.stored == []


@pytest.mark.parametrize("form", [STORE, ID_LAST], ids=["id first", "id last"])
async def test_a_line_that_is_too_long_is_refused_under_its_id(form: str) -> None:
    async with connected() as wire:
        line = (form % f'"session_id":"{"x" * MAX_LINE_BYTES}"').encode()
        for start in range(0, len(line), 1 << 20):
            await wire.to_server.send(line[start : start + (1 << 20)])
        await wire.send(b"")
        error = (await wire.read_answer(7))["error"]
        assert (error["code"], "16 MiB" in error["message"]) == (-32600, True)
        assert await still_serves(wire)


async def test_lines_may_come_in_any_chunks_with_blank_ones_between() -> None:
    async with connected() as wire:
        first, second = (json.dumps(store("Grüße 😀", number)).encode() for number in (1, 2))
        for byte in first:
            await wire.to_server.send(bytes([byte]))
        await wire.to_server.send(b"\r\n\n  \r\n" + second + b"\n")
        assert {(await wire.read())["id"], (await wire.read())["id"]} == {1, 2}
        assert [memory.content for memory in wire.services.memories.stored] == ["Grüße 😀", "Grüße 😀"]


async def test_a_cancelled_call_is_not_answered_and_does_not_delay_the_end() -> None:
    async with connected() as wire:
        await wire.send(store("wait", 5))
        await wire.services.memories.started.wait()
        await wire.send(notification("notifications/cancelled", requestId=5))
        assert await still_serves(wire)
        started = time.monotonic()
        wire.to_server.close()
        await wire.ended.wait()
        assert time.monotonic() - started < GRACE_SECONDS


async def test_a_call_under_way_at_the_end_of_input_is_answered() -> None:
    async with connected() as wire:
        await wire.send(store("wait", 5))
        await wire.services.memories.started.wait()
        wire.to_server.close()
        wire.services.memories.proceed.set()
        assert (await wire.read_answer(5))["result"]["isError"] is False
        await wire.ended.wait()


async def test_a_last_line_without_a_line_break_is_answered() -> None:
    async with connected() as wire:
        await wire.to_server.send(json.dumps(store("x", 5)).encode())
        wire.to_server.close()
        assert (await wire.read_answer(5))["result"]["isError"] is False


async def test_a_call_that_does_not_finish_is_cancelled_with_an_error() -> None:
    async with connected() as wire:
        await wire.send(store("wait", 5))
        await wire.services.memories.started.wait()
        with anyio.fail_after(2):
            wire.reading.cancel()
            assert "error" in await wire.read_answer(5)
            await wire.ended.wait()
        assert wire.services.memories.stored == []


async def test_the_caller_chooses_how_long_a_call_may_take_after_the_end() -> None:
    async with connected(grace=0) as wire:
        await wire.send(store("wait", 5))
        await wire.services.memories.started.wait()
        started = time.monotonic()
        wire.to_server.close()
        assert "error" in await wire.read_answer(5)
        assert time.monotonic() - started < GRACE_SECONDS


async def test_calls_under_way_of_a_closed_client_are_finished_and_then_the_server_ends() -> None:
    async with connected(grace=60) as wire:
        await wire.send(store("wait", 5), store("wait", 6), store("meanwhile", 7))
        await wire.read_answer(7)
        wire.from_server.close()
        wire.to_server.close()
        wire.services.memories.proceed.set()
        with anyio.fail_after(5):
            await wire.ended.wait()
        assert [memory.content for memory in wire.services.memories.stored] == ["meanwhile", "wait", "wait"]


async def test_a_client_that_stops_reading_does_not_delay_the_end() -> None:
    requests, receive = anyio.create_memory_object_stream[bytes](10)

    async def blocked(_data: bytes) -> None:
        await anyio.sleep_forever()

    with receive, requests:
        for number in range(5):
            await requests.send(json.dumps(request("ping", number)).encode() + b"\n")
        requests.close()
        with anyio.fail_after(2):
            await serve_lines(build_server(stand_in(), SCOPE), end_as_empty(receive.receive), blocked)


async def test_a_closed_client_ends_the_connection() -> None:
    requests, receive = anyio.create_memory_object_stream[bytes](10)

    async def broken(_data: bytes) -> None:
        raise BrokenPipeError

    with receive, requests:
        await requests.send(json.dumps(request("ping")).encode() + b"\n")
        with anyio.fail_after(2):
            await serve_lines(build_server(stand_in(), SCOPE), end_as_empty(receive.receive), broken)


async def test_two_hundred_calls_at_once_are_all_answered() -> None:
    async with connected() as wire, anyio.create_task_group() as tasks:
        tasks.start_soon(wire.send, *[store(f"memory {number}", number) for number in range(200)])
        answers = [await wire.read() for _ in range(200)]
    assert {answer["id"] for answer in answers} == set(range(200))


async def test_more_calls_than_may_be_under_way_at_once_are_all_answered() -> None:
    async with connected() as wire, anyio.create_task_group() as tasks:
        calls = MAX_IN_FLIGHT + 200
        tasks.start_soon(wire.send, *[store("wait", number) for number in range(calls)])
        await wire.services.memories.started.wait()
        wire.services.memories.proceed.set()
        assert {(await wire.read())["id"] for _ in range(calls)} == set(range(calls))


async def test_an_answer_that_cannot_be_encoded_is_an_error_under_the_calls_id() -> None:
    async with connected() as wire:
        wire.services.memories.page = memory_page([memory_hit(content="\ud83d")])
        await wire.send(request("tools/call", 5, name="query_memory", arguments={}))
        assert "error" in await wire.read_answer(5)
        assert await still_serves(wire)


async def test_a_client_of_the_modern_era_needs_no_handshake() -> None:
    wire = Wire(stand_in())
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    with wire.to_server, wire.from_server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wire.serve)
            await wire.send("not json", request("server/discover", 1, _meta=meta))
            assert (await wire.read_answer(None))["error"]["code"] == -32700
            assert "2026-07-28" in (await wire.read_answer(1))["result"]["supportedVersions"]
            tasks.cancel_scope.cancel()


def test_a_message_is_read_as_it_was_sent() -> None:
    message = parse(json.dumps(store('{"a": 1} null 😀', 3)).encode())
    assert isinstance(message, types.JSONRPCRequest)
    assert (message.params or {})["arguments"] == {"content": '{"a": 1} null 😀'}
