"""Bounds what a connection may take: time for a head, a body and an answer that is not read, and connections in all.

uvicorn limits idle connections only, so its protocol is extended here, and nowhere else. Nothing runs per request: the
server asks all connections a few times a second whether they are overdue.
"""

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from socket import socket
from typing import Any, Final

import h11
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from memos_mcp.transports.http_tls import ServerCertificate

BYTES_PER_SECOND: Final = 16 * 1024
"""Above this rate a client gets more time for a body or an answer: the longest message, 16 MiB, takes it 17 minutes."""

KEEP_ALIVE_SECONDS: Final = 30
"""Longer than clients and proxies keep theirs (5 to 15 s), so that none sends a request to a closing connection."""

LINGER_SECONDS: Final = 2.0
"""For the rest of a body whose request is already answered: closed earlier, a client might not read the answer."""

REFUSED_CONNECTIONS: Final = 64
"""How many connections beyond the limit get a 503; further ones are closed."""

TLS_CLOSE_SECONDS: Final = 5.0

_TICKS_PER_CHECK: Final = 2
"""uvicorn calls `on_tick` ten times a second."""

_TICKS_PER_RELOAD: Final = 10


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """seconds: for a head, and for a body or answer besides what `BYTES_PER_SECOND` gives it."""

    seconds: float
    connections: int


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which reports when its client takes too long, and gives way when there are too many."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any], limits: ConnectionLimits
    ) -> None:
        super().__init__(config, state, app_state)
        self._limits = limits
        self._seen_cycle: object = None
        self._head_began: float | None = None
        self._body_began = self._free_since = 0.0
        self._received = 0
        self._stalled: tuple[float, int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        beyond = len(self.connections) - self._limits.connections
        if beyond >= 0 and not self._make_way():
            self.app = _too_many_connections
        super().connection_made(transport)
        self._head_began = self._free_since = self.loop.time()
        if beyond >= REFUSED_CONNECTIONS and self.app is _too_many_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._observe(len(data))

    def on_response_complete(self) -> None:
        self._free_since = self.loop.time()
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._observe(0)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; when the request is already being answered, only close."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        self._stalled = (self.loop.time(), self.transport.get_write_buffer_size())
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled = None
        super().resume_writing()

    @property
    def is_free(self) -> bool:
        """Whether it has no request, so that closing it costs nothing but another connection."""
        return self.conn.their_state is h11.IDLE and not self.transport.is_closing()

    def close_if_overdue(self, now: float) -> None:
        """Close it when its client has taken longer than it may."""
        if self._is_overdue(now):
            self.transport.abort()

    def _is_overdue(self, now: float) -> bool:
        seconds = self._limits.seconds
        if self._stalled is not None:
            since, size = self._stalled
            drained = max(size - self.transport.get_write_buffer_size(), 0)
            return now > since + seconds + drained / BYTES_PER_SECOND
        if self._head_began is not None:
            return now > self._head_began + seconds
        if self.conn.their_state is not h11.SEND_BODY:
            return False
        if self.cycle.response_complete:
            return now > self._free_since + LINGER_SECONDS
        if self.flow.read_paused:  # the server is slow, not the client
            self._body_began, self._received = now, 0
        return now > self._body_began + seconds + self._received / BYTES_PER_SECOND

    def _observe(self, received: int) -> None:
        """Note what a client has begun to send or is sending."""
        if self.conn.their_state is h11.IDLE:
            if self._head_began is None:
                self._head_began = self.loop.time()
            return
        self._head_began = None
        if self.cycle is not self._seen_cycle:
            self._seen_cycle, self._body_began, self._received = self.cycle, self.loop.time(), 0
        self._received += received

    def _make_way(self) -> bool:
        """Close the connection that has had no request for the longest time; return whether there was one."""
        free = [one for one in self.connections if isinstance(one, BoundedProtocol) and one.is_free]
        if not free:
            return False
        min(free, key=lambda one: one._free_since).transport.abort()  # noqa: SLF001  # of the same class
        return True


class ConnectionServer(uvicorn.Server):
    """uvicorn on one listening socket, with bounded connections, and TLS if there is a certificate.

    It leaves signals to the process, which has more to close than this server.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket,
        limits: ConnectionLimits,
        certificate: ServerCertificate | None = None,
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._limits = limits
        self._certificate = certificate

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, and then accept connections."""
        await super().startup(sockets or [])
        tls = None if self._certificate is None else self._certificate.context
        accepting = await asyncio.get_running_loop().create_server(
            self._protocol,
            sock=self._listener,
            backlog=self.config.backlog,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else self._limits.seconds,
            ssl_shutdown_timeout=None if tls is None else TLS_CLOSE_SECONDS,
        )
        self.servers.append(accepting)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_CHECK == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.close_if_overdue(now)
        if self._certificate is not None and counter % _TICKS_PER_RELOAD == 0:
            self._certificate.reload_if_changed()
        return await super().on_tick(counter)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # it is declared a generator
        return super().capture_signals() if sys.platform == "win32" else nullcontext()

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, self._limits)


async def _too_many_connections(scope: Scope, receive: Receive, send: Send) -> None:
    text = "Too many connections. Repeat the request.\n"
    await PlainTextResponse(text, 503, {"Retry-After": "1", "Connection": "close"})(scope, receive, send)
