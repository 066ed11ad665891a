"""Clients for both transports that can send any bytes, which SDK clients refuse to do."""

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
"""The maximum time for the answer to any input."""

START_SECONDS = 60.0
"""The first call of a new server waits until the database is created and the model is loaded."""

SENTINEL = "The lighthouse keeper's spare key hangs behind the barometer."
"""Stored first on every server; no bad input may lose it."""

HANDSHAKE = "2025-11-25"
SESSIONLESS = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": SESSIONLESS,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
INTERNALS = re.compile(r"asyncpg|traceback|postgres|/tmp|pydantic|qdrant|site-packages|/usr/|\.py\b", re.IGNORECASE)
"""Names that an answer must not contain: drivers, paths, internals of the program."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON-RPC answer, with its status over HTTP."""

    message: Mapping[str, Any]
    status: int = 200

    @property
    def data(self) -> Any:
        """The structured result of a successful tool call, which must equal its text."""
        result = self.message.get("result")
        assert result is not None, self.message
        assert not result.get("isError"), result["content"]
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]

    @property
    def refusal(self) -> str:
        """The error message of the tool or the protocol."""
        error = self.message.get("error")
        if error is not None:
            return str(error["message"])
        assert self.message["result"].get("isError"), self.message
        return str(self.message["result"]["content"][0]["text"])

    @property
    def code(self) -> int | None:
        """The code of a protocol error; None for the answer of a tool."""
        error = self.message.get("error")
        return None if error is None else int(error["code"])


class RawClient(Protocol):
    """A client of one server. The arguments of a call may be raw JSON text."""

    name: str
    server: Server
    timeout: float

    async def call(self, tool: str, arguments: Mapping[str, Any] | str) -> Answer: ...

    async def ask(self, method: str, params: Mapping[str, Any] | str) -> Answer: ...

    async def send(self, body: bytes) -> Answer:
        """Send these bytes as one message and return the next answer."""
        ...

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Make these calls concurrently."""
        ...


AnyClient = TypeVar("AnyClient", bound=RawClient)


class StdioRawClient:
    """A line client on the pipes of a bridge, or of a server without an engine; only one at a time."""

    name = "stdio"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.timeout = START_SECONDS
        assert server.process.stdin is not None
        assert server.process.stdout is not None
        self._stdin, self._stdout = server.process.stdin.fileno(), server.process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._rest = b""
        self._ids = itertools.count(int(time.monotonic() * 1_000) * 1_000)

    async def open(self) -> Self:
        """Perform the handshake, once for each process."""
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        with anyio.fail_after(self.timeout):
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
        with anyio.fail_after(self.timeout):
            return await self._exchange(body)

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        numbers = [next(self._ids) for _ in arguments]
        lines = [
            message(number, "tools/call", call_params(tool, one)) + b"\n"
            for number, one in zip(numbers, arguments, strict=True)
        ]
        with anyio.fail_after(self.timeout):
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
        """Return the next answer, skipping notifications."""
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
    """A client that posts one message per request without a session, as current clients do.

    It has the server's own token, or the one that is given.
    """

    name = "http"

    def __init__(self, server: Server, token: str | None = None) -> None:
        self.server = server
        self._header = server.token_header if token is None else {"authorization": f"Bearer {token}"}
        self.timeout = START_SECONDS
        self._ids = itertools.count(1)
        self._client = httpx2.AsyncClient(verify=False, trust_env=False, timeout=None)

    async def close(self) -> None:
        await self._client.aclose()

    async def call(self, tool: str, arguments: Mapping[str, Any] | str) -> Answer:
        return await self._post(self._body("tools/call", call_params(tool, arguments, META)), "tools/call", tool)

    async def ask(self, method: str, params: Mapping[str, Any] | str) -> Answer:
        name = params.get("name", params.get("uri")) if isinstance(params, Mapping) else None
        given = {**params, "_meta": META} if isinstance(params, Mapping) else params
        return await self._post(self._body(method, given), method, str(name or ""))

    async def send(self, body: bytes) -> Answer:
        return await self._post(body, "tools/call", "query_memory")

    async def together(self, tool: str, arguments: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Make each call on its own connection."""
        answers: list[Answer] = []

        async def call(client: HttpRawClient, one: Mapping[str, Any]) -> None:
            answers.append(await client.call(tool, one))

        async with AsyncExitStack() as stack:
            clients = [HttpRawClient(self.server) for _ in arguments]
            for client in clients:
                stack.push_async_callback(client.close)
            with anyio.fail_after(self.timeout):
                async with anyio.create_task_group() as tasks:
                    for client, one in zip(clients, arguments, strict=True):
                        tasks.start_soon(call, client, one)
        return answers

    async def post(self, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        with anyio.fail_after(self.timeout):
            sent = {**self._header, **headers}
            response = await self._client.post(f"{self.server.url}/mcp", content=body, headers=sent)
        assert_discreet(response.content)
        return response

    async def request(self, method: str) -> httpx2.Response:
        response = await self._client.request(method, f"{self.server.url}/mcp", headers=self._header)
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
    """Return a request; values that JSON lacks (NaN, unpaired surrogates) are written as many programs do."""
    given = params if isinstance(params, str) else json.dumps(params)
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{given}}}'.encode()


def call_params(tool: str, arguments: Mapping[str, Any] | str, meta: Mapping[str, Any] | None = None) -> str:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    tail = "" if meta is None else f',"_meta":{json.dumps(meta)}'
    return f'{{"name":{json.dumps(tool)},"arguments":{given}{tail}}}'


def assert_discreet(answer: bytes) -> None:
    """Fail if an answer reveals internals or paths of the server."""
    leak = INTERNALS.search(answer.decode())
    assert leak is None, answer[:2_000]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll until the condition holds."""
    with anyio.fail_after(30):
        while not await condition():  # noqa: ASYNC110 - it holds in another process, which sends no event
            await anyio.sleep(0.05)


@asynccontextmanager
async def unharmed(client: AnyClient) -> AsyncIterator[AnyClient]:
    """Yield a client; afterwards the same processes must run, answer the next call and still have the sentinel."""
    engine = client.server.engine
    assert engine is not None
    yield client
    assert client.server.process.poll() is None
    found = (await client.call("query_memory", {"session_id": "sentinel"})).data
    assert [memory["content"] for memory in found["memories"]] == [SENTINEL]
    assert client.server.engine == engine


async def refused(client: RawClient, tool: str, arguments: Mapping[str, Any] | str) -> str:
    """Make a call that must be refused and change nothing; return the error message."""
    before = await count(client, tool)
    answer = await client.call(tool, arguments)
    assert await count(client, tool) == before
    assert "Internal error" not in answer.refusal
    assert answer.code in {None, -32602, -32700}, answer
    return answer.refusal


async def count(client: RawClient, tool: str) -> int:
    """Return the number of memories or tools that this tool could add to."""
    counting = {"store_memory": "query_memory", "register_tool": "discover_tools"}.get(tool)
    return 0 if counting is None else int((await client.call(counting, {"limit": 1})).data["total"])


async def stored(client: RawClient, **arguments: Any) -> dict[str, Any]:
    """Store a memory in its own session, query it and return it completely."""
    session = arguments.setdefault("session_id", uuid4().hex)
    answer = (await client.call("store_memory", arguments)).data
    assert answer["created"]
    listed = (await client.call("query_memory", {"session_id": session, "max_tokens": 10_000})).data
    (memory,) = [memory for memory in listed["memories"] if memory["memory_id"] == answer["memory_id"]]
    return dict(memory)


async def registered(client: RawClient, **arguments: Any) -> dict[str, Any]:
    """Register a tool, discover it by its id and return it with its schemas."""
    tool = tool_arguments(**arguments)
    assert (await client.call("register_tool", tool)).data["outcome"] == "created"
    found = (await client.call("discover_tools", {"query": tool["tool_id"], "limit": 1, "detail": "full"})).data
    assert found["tools"][0]["tool_id"] == tool["tool_id"]
    return dict(found["tools"][0])


def tool_arguments(**changes: Any) -> dict[str, Any]:
    """Return valid arguments of a registration with these changes."""
    valid = {"tool_id": uuid4().hex, "name": "weather", "description": "Returns the weather of a city."}
    return {**valid, "endpoint_url": "https://example.org/weather", **changes}
