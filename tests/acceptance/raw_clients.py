"""Clients that send anything at all, as SDK clients refuse to, over both transports."""

import base64
import itertools
import json
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

import anyio
import httpx2

from tests.acceptance.servers import Server

ANSWER_SECONDS = 10.0
"""No input may keep its sender waiting for longer."""

START_SECONDS = 60.0
"""The first call waits for a new home: a database is made, a model is built."""

SENTINEL = "The lighthouse keeper's spare key hangs behind the barometer."
"""Stored before anything else on every server; no bad input may lose it."""

HANDSHAKE = "2025-11-25"
SESSIONLESS = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
NEVER_SAID = re.compile(r"asyncpg|traceback|postgres|/tmp|pydantic|qdrant|site-packages|/usr/|\.py\b", re.IGNORECASE)
"""What an answer must not hold: drivers, places, the inside of the program."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON-RPC answer, and over HTTP its status."""

    message: Mapping[str, Any]
    status: int = 200

    @property
    def data(self) -> Any:
        """The structured result of a tool call that succeeded; the same must stand in its text."""
        result = self.message.get("result")
        assert result is not None, self.message
        assert not result.get("isError"), result["content"]
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]

    @property
    def refusal(self) -> str:
        """Why the tool or the protocol refused."""
        error = self.message.get("error")
        if error is not None:
            return str(error["message"])
        assert self.message["result"].get("isError"), self.message
        return str(self.message["result"]["content"][0]["text"])

    @property
    def code(self) -> int | None:
        """The code of a protocol error; None for what a tool answered."""
        error = self.message.get("error")
        return None if error is None else int(error["code"])


class RawClient(Protocol):
    """One client of one server. A call's arguments may be given as raw JSON text."""

    name: str
    server: Server
    patience: float

    async def call(self, tool: str, arguments: Mapping[str, Any] | str) -> Answer: ...

    async def ask(self, method: str, params: Mapping[str, Any] | str) -> Answer: ...

    async def send(self, body: bytes) -> Answer:
        """Send these bytes as one message; the answer is the next that comes."""
        ...

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Make these calls all at once."""
        ...


AnyDoor = TypeVar("AnyDoor", bound=RawClient)


class StdioRawClient:
    """A line client on the pipes of a bridge, or of a server without an engine; only one at a time."""

    name = "stdio"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.patience = START_SECONDS
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        self._stdin, self._stdout = server.process.stdin.fileno(), server.process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._rest = b""
        self._ids = itertools.count(int(time.monotonic() * 1_000) * 1_000)

    async def open(self) -> Self:
        """Shake hands, once for each process."""
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        with anyio.fail_after(self.patience):
            answer = await self._exchange(message(0, "initialize", json.dumps(params)))
        assert answer.message["result"]["protocolVersion"] == HANDSHAKE
        await self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return self

    async def call(self, tool: str, arguments: Mapping[str, Any] | str) -> Answer:
        return await self.ask("tools/call", call_params(tool, arguments))

    async def ask(self, method: str, params: Mapping[str, Any] | str) -> Answer:
        number = next(self._ids)
        answer = await self.send(message(number, method, params))
        assert answer.message["id"] in {number, None}
        return answer

    async def send(self, body: bytes) -> Answer:
        with anyio.fail_after(self.patience):
            return await self._exchange(body)

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        numbers = [next(self._ids) for _ in arguments]
        lines = [
            message(number, "tools/call", call_params(tool, one)) + b"\n"
            for number, one in zip(numbers, arguments, strict=True)
        ]
        with anyio.fail_after(self.patience):
            await self.write(b"".join(lines))
            answers = [await self.read() for _ in lines]
        by_number = {answer.message["id"]: answer for answer in answers}
        return [by_number[number] for number in numbers]

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._stdin, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._stdin)

    async def read(self) -> Answer:
        """Return the next answer; what is no answer (a notification) is passed over."""
        while True:
            while b"\n" not in self._rest:
                await anyio.wait_readable(self._stdout)
                chunk = os.read(self._stdout, 1 << 20)
                assert chunk, "the output has been closed"
                self._rest += chunk
            line, _, self._rest = self._rest.partition(b"\n")
            assert_discreet(line)
            if "id" in (read := json.loads(line)):
                return Answer(read)

    async def _exchange(self, body: bytes) -> Answer:
        await self.write(body + b"\n")
        return await self.read()


class HttpRawClient:
    """Posts one message a request, without a session, as clients of today do."""

    name = "http"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.patience = START_SECONDS
        self._ids = itertools.count(1)
        self._client = httpx2.AsyncClient(verify=False, trust_env=False, timeout=None)

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, tool: str, arguments: Mapping[str, Any] | str) -> Answer:
        return await self._post(self._body("tools/call", call_params(tool, arguments, META)), "tools/call", tool)

    async def ask(self, method: str, params: Mapping[str, Any] | str) -> Answer:
        name = params.get("name") if isinstance(params, Mapping) else None
        given = {**params, "_meta": META} if isinstance(params, Mapping) else params
        return await self._post(self._body(method, given), method, str(name or ""))

    async def send(self, body: bytes) -> Answer:
        return await self._post(body, "tools/call", "query_memory")

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Make each call on a connection of its own."""
        answers: list[Answer] = []

        async def call(client: HttpRawClient, one: Mapping[str, Any]) -> None:
            answers.append(await client.call(tool, one))

        async with AsyncExitStack() as stack:
            doors = [HttpRawClient(self.server) for _ in arguments]
            for client in doors:
                stack.push_async_callback(client.close)
            with anyio.fail_after(self.patience):
                async with anyio.create_task_group() as tasks:
                    for client, one in zip(doors, arguments, strict=True):
                        tasks.start_soon(call, client, one)
        return answers

    async def post(self, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        with anyio.fail_after(self.patience):
            response = await self._client.post(f"{self.server.url}/mcp", content=body, headers=dict(headers))
        assert_discreet(response.content)
        return response

    async def request(self, method: str) -> httpx2.Response:
        response = await self._client.request(method, f"{self.server.url}/mcp")
        assert_discreet(response.content)
        return response

    def headers(self, method: str, name: str) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": SESSIONLESS,
            "mcp-method": method,
            **({"mcp-name": f"=?base64?{base64.b64encode(name.encode()).decode()}?="} if name else {}),
        }

    def _body(self, method: str, params: Mapping[str, Any] | str) -> bytes:
        return message(next(self._ids), method, params)

    async def _post(self, body: bytes, method: str, name: str) -> Answer:
        response = await self.post(body, self.headers(method, name))
        if response.headers.get("content-type", "").startswith("application/json"):
            return Answer(response.json(), response.status_code)
        assert response.status_code >= 400, response.text
        return Answer({"error": {"code": -response.status_code, "message": response.text}}, response.status_code)


def message(number: int, method: str, params: Mapping[str, Any] | str) -> bytes:
    """Write a request; what JSON does not have (NaN, lone surrogates) is written as many programs do."""
    given = params if isinstance(params, str) else json.dumps(params)
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{given}}}'.encode()


def call_params(tool: str, arguments: Mapping[str, Any] | str, meta: Mapping[str, Any] | None = None) -> str:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    tail = "" if meta is None else f',"_meta":{json.dumps(meta)}'
    return f'{{"name":{json.dumps(tool)},"arguments":{given}{tail}}}'


def assert_discreet(said: bytes) -> None:
    """An answer speaks of the input, never of what the server is made of or where it lives."""
    leak = NEVER_SAID.search(said.decode())
    assert leak is None, said[:2_000]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until this holds, which nothing announces."""
    with anyio.fail_after(30):
        while not await condition():  # noqa: ASYNC110 - it holds in another process, which sends no event
            await anyio.sleep(0.05)


@asynccontextmanager
async def unharmed(client: AnyDoor) -> AsyncIterator[AnyDoor]:
    """Lend a client: then the same processes live, answer the next call, and have what was stored before all else."""
    engine = client.server.engine
    assert engine is not None
    yield client
    assert client.server.process.poll() is None
    found = (await client.call("query_memory", {"session_id": "sentinel"})).data
    assert [memory["content"] for memory in found["memories"]] == [SENTINEL]
    assert client.server.engine == engine


async def refused(client: RawClient, tool: str, arguments: Mapping[str, Any] | str) -> str:
    """Make a call that must be refused and change nothing; return why it was."""
    before = await count(client, tool)
    answer = await client.call(tool, arguments)
    assert await count(client, tool) == before
    assert "Internal error" not in answer.refusal
    assert answer.code in {None, -32602, -32700}, answer
    return answer.refusal


async def count(client: RawClient, tool: str) -> int:
    """How many there are of what this tool would add to."""
    counting = {"store_memory": "query_memory", "register_tool": "discover_tools"}.get(tool)
    return 0 if counting is None else int((await client.call(counting, {"limit": 1})).data["total"])


async def stored(client: RawClient, **arguments: Any) -> dict[str, Any]:
    """Store a memory in a session of its own and return it as it is read back, whole."""
    session = arguments.setdefault("session_id", uuid4().hex)
    answer = (await client.call("store_memory", arguments)).data
    assert answer["created"]
    listed = (await client.call("query_memory", {"session_id": session, "max_tokens": 10_000})).data
    (memory,) = [memory for memory in listed["memories"] if memory["memory_id"] == answer["memory_id"]]
    return dict(memory)


async def registered(client: RawClient, **arguments: Any) -> dict[str, Any]:
    """Register a tool and return it as it is read back by its id, schemas included."""
    tool = tool_arguments(**arguments)
    assert (await client.call("register_tool", tool)).data["outcome"] == "created"
    found = (await client.call("discover_tools", {"query": tool["tool_id"], "limit": 1, "detail": "full"})).data
    assert found["tools"][0]["tool_id"] == tool["tool_id"]
    return dict(found["tools"][0])


def tool_arguments(**changes: Any) -> dict[str, Any]:
    """The arguments of a registration that is good but for these."""
    good = {"tool_id": uuid4().hex, "name": "weather", "description": "Tells the weather of a place."}
    return {**good, "endpoint_url": "https://example.org/weather", **changes}
