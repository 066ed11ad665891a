"""The HTTP transport: streamable HTTP at `/mcp`, SSE (deprecated) at `/sse`, `/healthz`, `/readyz` and `/metrics`."""

import signal
import sys
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, Final

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.domain.scope import Scope
from memos_mcp.ipc.line_buffer import MAX_LINE_BYTES
from memos_mcp.mcp_server.server import build_server
from memos_mcp.settings import Settings
from memos_mcp.transports.draining import DrainableApp
from memos_mcp.transports.http_address import check_address, listen, url_of
from memos_mcp.transports.http_address import security as host_rules
from memos_mcp.transports.http_auth import authentication
from memos_mcp.transports.http_body import finish_stream, pass_messages
from memos_mcp.transports.http_connections import KEEP_ALIVE_SECONDS, ConnectionLimits, ConnectionServer
from memos_mcp.transports.http_guard import Guard, TrackClient
from memos_mcp.transports.http_head import CheckHead, TrustedProxies
from memos_mcp.transports.http_prepared_answers import PreparedAnswers
from memos_mcp.transports.http_resource import protected_resource
from memos_mcp.transports.http_sessions import LimitedSessions, SessionLimits
from memos_mcp.transports.http_tls import server_certificate
from memos_mcp.transports.loopback_token import header_of_file, makes_token
from memos_mcp.transports.metrics import count_clients, serve_metrics
from memos_mcp.transports.request_middleware import CountRefusals, RequestIds

GRACE_SECONDS: Final = 3
READY_SECONDS: Final = 5.0


class HttpServer:
    """Listens from its construction, serves until closed; requests under way then have `GRACE_SECONDS`.

    `track_client` wraps each request to the MCP transports from its beginning to its end.
    """

    def __init__(self, app: App, scope: Scope, settings: Settings, track_client: TrackClient = nullcontext) -> None:
        self._web = DrainableApp(build_http(app, scope, settings, track_client))
        config = uvicorn.Config(
            self._web,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # it trusts every program of this machine; `CheckHead` trusts those that are named
            ws="none",
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        certificate = server_certificate(settings)
        limits = ConnectionLimits(settings.http_timeout, settings.http_connections)
        self._listener = listen(settings.host, settings.port)
        self._server = ConnectionServer(config, self._listener, limits, certificate)
        self._settings = settings
        self.url = url_of(self._listener, "http" if certificate is None else "https")

    async def serve(self) -> None:
        """Serve until closed."""
        with self._listener:
            served = f"memos-as serves {self.url}/mcp (and, deprecated, /sse), with its data in {self._settings.home}"
            sys.stderr.write(f"{served}\n{self._how_to_connect()}")
            await self._server.serve()

    def drain(self) -> None:
        """Report that this server is about to stop, and continue to serve."""
        self._web.drain()

    def close(self) -> None:
        """Accept no new requests, and return from `serve` once those under way are finished."""
        self._server.handle_exit(signal.SIGTERM, None)  # instead of its flag: only this closes open streams

    def _how_to_connect(self) -> str:
        """Return a command that connects a client, or makes the token that one needs."""
        if makes_token(self._settings):
            header = header_of_file(self._settings.home)
            return f"Claude Code: claude mcp add --transport http memos {self.url}/mcp --header {header}\n"
        if self._settings.auth == "token" and self._settings.auth_token is None:
            return "Clients need access tokens: memos-as token create --namespace NAMESPACE\n"
        return ""


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
    """Return the web application; raise `Invalid` when these settings would let any other machine in.

    `scope` is that of requests with the server's own token; those with another one have its scope.
    """
    check_address(settings)
    server = build_server(app, scope)
    hosts = host_rules(settings)
    # SSE responses rather than `json_response=True`: only they cancel a handler whose client has disconnected
    # and keep a proxy from timing out while a query waits for the model. The cost is small: a current client's call is
    # answered with plain JSON all the same, as our tools report no progress; only handshake-era calls cost 0.5 ms more.
    manager = StreamableHTTPSessionManager(
        server,
        security_settings=hosts,
        max_request_body_size=MAX_LINE_BYTES,
        session_idle_timeout=settings.http_session_seconds,
        max_sessions=None,  # `LimitedSessions` limits them
    )
    limits = SessionLimits(settings.http_sessions, settings.http_sessions_per_token, settings.http_session_seconds)
    sessions = LimitedSessions(manager, limits)
    sse = SseServerTransport("/messages/", security_settings=hosts, max_request_body_size=MAX_LINE_BYTES)
    admit = partial(Guard, authentication=authentication(app, scope, settings))

    def guarded(part: ASGIApp) -> Guard:
        return admit(partial(pass_messages, partial(finish_stream, part)), track_client=track_client)

    counted = partial(count_clients, app.telemetry)
    routes = [
        Route("/mcp", guarded(counted("streamable-http", PreparedAnswers(sessions.serve_streamable)))),
        Route("/sse", guarded(counted("sse", partial(_serve_sse, server, sse, sessions)))),
        Mount("/messages/", guarded(partial(_take_message, sse))),
        Route("/healthz", _healthz),
        Route("/readyz", partial(_readyz, app)),
        Route("/metrics", admit(partial(serve_metrics, app), right="admin"), methods=["GET"]),
        *(resource.routes() if (resource := protected_resource(settings)) else ()),
    ]
    head = Middleware(
        CheckHead, security=TransportSecurityMiddleware(hosts), proxies=TrustedProxies(settings.trusted_proxies)
    )
    middleware = [Middleware(RequestIds), Middleware(CountRefusals, app), head]
    return Starlette(routes=routes, middleware=middleware, lifespan=lambda _: manager.run())


async def _serve_sse(
    server: Server[Any],
    sse: SseServerTransport,
    sessions: LimitedSessions,
    connection: Connection,
    receive: Receive,
    send: Send,
) -> None:
    async def stream(connection: Connection, receive: Receive, send: Send) -> None:
        async with sse.connect_sse(connection, receive, send) as (requests, answers):
            await server.run(requests, answers, server.create_initialization_options())

    if connection["method"] != "GET":
        await Response(status_code=405, headers={"Allow": "GET"})(connection, receive, send)
        return
    await sessions.serve_stream(stream, connection, receive, send)


async def _take_message(sse: SseServerTransport, connection: Connection, receive: Receive, send: Send) -> None:
    """Take a message for a stream. One that the stream does not live to read is lost with it, and accepted already."""
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await sse.handle_post_message(connection, receive, send)


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
