"""Endpoints of tools, good and bad, as a real HTTP server on loopback."""

import asyncio
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from memos_mcp.tool_calling.called_tool import CalledTool

ECHO = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
MEGABYTE = 1024 * 1024


class _Server(uvicorn.Server):
    """A server that stops at once: uvicorn notices the request within 100 ms, and then waits for as long again."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110  # another thread sets it
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            await self.lifespan.shutdown()


@contextmanager
def serving(app: ASGIApp, port: int = 0, **options: Any) -> Iterator[str]:
    """Serve on a port of 127.0.0.1, a free one by default, in a thread; yield `host:port`."""
    listener = socket.create_server(("127.0.0.1", port))
    # For connections too, which inherit it: an answer is written in two parts, and would wait 40 ms between them.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Tools:
    """Endpoints that behave as their path names; `seen` lists the requests."""

    seen: list[tuple[str, str, Any]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{behaviour}", self._answer, methods=["GET", "POST"])])

    def asked(self, behaviour: str) -> int:
        return sum(path == behaviour for _, path, _ in self.seen)

    async def _answer(self, request: Request) -> Response:
        behaviour = request.path_params["behaviour"]
        given = dict(request.query_params) if request.method == "GET" else await request.json()
        self.seen.append((request.method, behaviour, given))
        if behaviour == "busy-at-first" and self.asked(behaviour) > 1:
            return JSONResponse({"reply": "at last"})
        return ANSWERS[behaviour](request, given)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await anyio.sleep(0.05)


def _redirect(to: str, status: int = 307) -> Callable[[Request, Any], Response]:
    return lambda request, _: RedirectResponse(to.replace("PORT", str(request.url.port)), status)


ANSWERS: Mapping[str, Callable[[Request, Any], Response]] = {
    "echo": lambda request, given: JSONResponse({"reply": given.get("word"), "host": request.headers["host"]}),
    "liar": lambda _request, _given: JSONResponse({"reply": 5}),
    "surrogate": lambda _request, _given: Response(b'{"reply": "\\ud800"}', media_type="application/json"),
    "text": lambda _request, _given: PlainTextResponse("plain words"),
    "drip": lambda _request, _given: StreamingResponse(_endless()),
    "large": lambda _request, _given: Response(b"1" * 10 * MEGABYTE),
    "bomb": lambda _request, _given: Response(
        gzip.compress(b"1" * 10 * MEGABYTE), headers={"content-encoding": "gzip"}
    ),
    "refusing": lambda _request, _given: JSONResponse({"error": "word must be polite"}, 422),
    "busy": lambda _request, _given: Response(status_code=503),
    "busy-at-first": lambda _request, _given: Response(status_code=503),
    "to-metadata": _redirect("http://169.254.169.254/latest/meta-data"),
    "to-loopback": _redirect("http://127.0.0.1:1/echo"),
    "to-other-name": _redirect("http://localhost:PORT/echo"),
    "to-itself": _redirect("/to-itself"),
    "to-echo": _redirect("/echo"),
    "to-echo-as-get": _redirect("/echo", 302),
}


def tool(host: str, behaviour: str = "echo", **changed: Any) -> CalledTool:
    """Return a registered tool at one of the endpoints."""
    given: dict[str, Any] = {
        "tool_id": f"test.{behaviour}",
        "endpoint_url": f"http://{host}/{behaviour}",
        "request_schema": ECHO,
        "response_schema": {"type": "object", "properties": {"reply": {"type": "string"}}, "required": ["reply"]},
    }
    return CalledTool(**{**given, **changed})


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Fail if the body takes longer."""
    began = anyio.current_time()
    yield
    assert anyio.current_time() - began < seconds
