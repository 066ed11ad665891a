"""The HTTP transport: streamable HTTP at `/mcp`, SSE (deprecated) at `/sse`, `/healthz` and `/readyz`."""

import ipaddress
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from hmac import compare_digest
from typing import Any, Final, TypeAlias

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope
from memos_mcp.ipc.line_buffer import KEPT_BYTES, MAX_LINE_BYTES
from memos_mcp.mcp_server.server import build_server
from memos_mcp.settings import Settings
from memos_mcp.transports.jsonrpc_lines import RejectedMessage, parse, reject_length

GRACE_SECONDS: Final = 3
READY_SECONDS: Final = 5.0

TrackClient: TypeAlias = Callable[[], AbstractContextManager[None]]

_LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class HttpServer:
    """Listens from its construction, serves until closed; requests under way then have `GRACE_SECONDS`.

    `track_client` wraps each request to the MCP transports from its beginning to its end.
    """

    def __init__(self, app: App, scope: Scope, settings: Settings, track_client: TrackClient = nullcontext) -> None:
        config = uvicorn.Config(
            build_http(app, scope, settings, track_client),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _UvicornServer(config)
        self._listener = _listen(settings.host, settings.port)
        self.url = _url(self._listener)

    async def serve(self) -> None:
        """Serve until closed."""
        with self._listener:
            sys.stderr.write(f"memos-as serves {self.url}/mcp (and, deprecated, /sse)\n")
            await self._server.serve(sockets=[self._listener])

    def close(self) -> None:
        """Accept no new requests, and return from `serve` once those under way are finished."""
        self._server.handle_exit(signal.SIGTERM, None)  # instead of its flag: only this closes open streams


class _UvicornServer(uvicorn.Server):
    """Leaves signals to the process, which has more to close than this server."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # it is declared a generator
        return super().capture_signals() if sys.platform == "win32" else nullcontext()


async def serve_http(app: App, scope: Scope, settings: Settings) -> None:
    """Serve until a signal stops the process. The caller closes the app."""
    http = HttpServer(app, scope, settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_close_on_signal, http)
        await http.serve()
        tasks.cancel_scope.cancel()


async def _close_on_signal(http: HttpServer) -> None:
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            http.close()


def build_http(app: App, scope: Scope, settings: Settings, track_client: TrackClient = nullcontext) -> Starlette:
    """Return the web application; raise `Invalid` when these settings would let any other machine in."""
    check_address(settings)
    server = build_server(app, scope)
    security = _security(settings)
    # SSE responses rather than `json_response=True`: only they cancel a handler whose client has disconnected
    # and keep a proxy from timing out while a query waits for the model. The cost is small: a current client's call is
    # answered with plain JSON all the same, as our tools report no progress; only handshake-era calls cost 0.5 ms more.
    manager = StreamableHTTPSessionManager(server, security_settings=security, max_request_body_size=MAX_LINE_BYTES)
    sse = SseServerTransport("/messages/", security_settings=security, max_request_body_size=MAX_LINE_BYTES)
    token = settings.auth_token.get_secret_value().encode() if settings.auth_token else None
    guarded = partial(_Guard, security=TransportSecurityMiddleware(security), token=token, track_client=track_client)
    routes = [
        Route("/mcp", guarded(manager.handle_request)),
        Route("/sse", guarded(partial(_serve_sse, server, sse))),
        Mount("/messages/", guarded(sse.handle_post_message)),
        Route("/healthz", _healthz),
        Route("/readyz", partial(_readyz, app)),
    ]
    return Starlette(routes=routes, lifespan=lambda _: manager.run())


def check_address(settings: Settings) -> None:
    """Raise `Invalid` when these settings would let any other machine in."""
    if _is_loopback(settings.host) or (settings.auth_token and settings.allowed_hosts):
        return
    raise Invalid(
        f"Refusing to listen on {settings.host or 'every address'}: any client that reaches it could read and change "
        "every memory. Set MEMOS_AUTH_TOKEN and MEMOS_ALLOWED_HOSTS (the names that clients use), or listen on "
        "127.0.0.1."
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _security(settings: Settings) -> TransportSecuritySettings:
    """Protect Host and Origin at any address: the SDK would not for one that is not loopback."""
    hosts, origins = list(settings.allowed_hosts), list(settings.allowed_origins)
    if _is_loopback(settings.host):
        hosts += _LOOPBACK_HOSTS
        origins += [f"http://{host}" for host in _LOOPBACK_HOSTS]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[form for host in hosts for form in _with_any_port(host)],
        allowed_origins=[form for origin in origins for form in _with_any_port(origin)],
    )


def _with_any_port(name: str) -> tuple[str, ...]:
    has_port = ":" in name.removeprefix("http://").removeprefix("https://").rpartition("]")[2]
    return (name,) if has_port else (name, f"{name}:*")


class _Guard:
    """Admits a request to the MCP transports: right host, origin and token, and a body that is one message."""

    def __init__(
        self, app: ASGIApp, *, security: TransportSecurityMiddleware, token: bytes | None, track_client: TrackClient
    ) -> None:
        self._app = partial(_pass_messages, partial(_finish, app))
        self._security = security
        self._token = token
        self._track_client = track_client

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        request = Request(connection)
        refusal = await self._security.validate_request(request) or self._unauthorized(request)
        if refusal is not None:
            await refusal(connection, receive, send)
            return
        with self._track_client():
            await self._app(connection, receive, send)

    def _unauthorized(self, request: Request) -> Response | None:
        if self._token is None:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and compare_digest(given.strip().encode("latin-1"), self._token):
            return None
        challenge = 'Bearer error="invalid_token"' if given else "Bearer"
        return Response("A valid bearer token is required", 401, {"WWW-Authenticate": challenge})


async def _pass_messages(app: ASGIApp, connection: Connection, receive: Receive, send: Send) -> None:
    """Reject a body that is not a message with the same error as the other transports."""
    if connection["method"] != "POST":
        await app(connection, receive, send)
        return
    status = 400
    try:
        body, whole = await _body(Request(connection, receive))
        if not whole:
            status = 413
            reject_length(body)
        parse(body)
    except ClientDisconnect:
        return
    except RejectedMessage as rejected:
        answer = rejected.answer.model_dump_json(by_alias=True, exclude_unset=True)
        await Response(answer, status, media_type="application/json")(connection, receive, send)
        return
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    await app(connection, replay, send)


async def _body(request: Request) -> tuple[bytes, bool]:
    """Return the body, and whether it is whole. Only the beginning is returned of one that is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_LINE_BYTES:
            return bytes(body[:KEPT_BYTES]), False
    return bytes(body), True


async def _finish(app: ASGIApp, connection: Connection, receive: Receive, send: Send) -> None:
    """End a stream that is still open at shutdown: the client would see a broken one, and the log an error."""
    is_open = False

    async def watch(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] == "http.response.start" or message.get("more_body", False)
        await send(message)

    await app(connection, receive, watch)
    if is_open:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _serve_sse(
    server: Server[Any], sse: SseServerTransport, connection: Connection, receive: Receive, send: Send
) -> None:
    if connection["method"] != "GET":
        await Response(status_code=405, headers={"Allow": "GET"})(connection, receive, send)
        return
    async with sse.connect_sse(connection, receive, send) as (requests, answers):
        await server.run(requests, answers, server.create_initialization_options())


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(app: App, _request: Request) -> Response:
    """Report readiness, which is that Postgres answers: without the index or the model, answers are only degraded."""
    parts = {"postgres": f"no answer within {READY_SECONDS:g} seconds"}
    with anyio.move_on_after(READY_SECONDS):
        parts = await app.readiness()
    ready = parts.get("postgres") == "ok"
    status = "unavailable" if not ready else "ok" if set(parts.values()) == {"ok"} else "degraded"
    return JSONResponse({"status": status, "parts": parts}, 200 if ready else 503)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # explicitly TCP: asyncio keeps Nagle's algorithm on for a socket of protocol 0, which costs 40 ms a call
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        message = f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another --host or --port."
        raise Invalid(message) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
