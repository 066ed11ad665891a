"""Limits the sessions of older clients, and their streams, in all and for each token.

A session costs memory until its client ends it or it has expired, and many clients never end theirs. So a token that
has as many as it may opens another one at the price of its own that has been idle for the longest time. Sessions of
other tokens are never ended for it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import INTERNAL_ERROR
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memos_mcp.mcp_server.calling_client import PRINCIPAL

RETRY_SECONDS: Final = 5
"""When to come again after a refusal: sessions end at any time."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """idle_seconds: after which a session without any request expires."""

    total: int
    per_token: int
    idle_seconds: float


@dataclass(eq=False, slots=True)
class _OpenSession:
    owner: str
    opening: Scope
    """The connection that opened it, whose principal may also end it."""
    id: str | None = None
    requests: int = 0
    last_used: float = field(default_factory=monotonic)


class LimitedSessions:
    """The sessions of streamable HTTP and SSE. Both count for the same limits."""

    def __init__(self, manager: StreamableHTTPSessionManager, limits: SessionLimits) -> None:
        self._manager = manager
        self._limits = limits
        self._open: set[_OpenSession] = set()
        self._by_id: dict[str, _OpenSession] = {}

    @property
    def count(self) -> int:
        """How many sessions and streams are open."""
        return len(self._open)

    async def serve_streamable(self, connection: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of streamable HTTP; those of current clients have no session."""
        headers = Headers(scope=connection)
        version, session_id = headers.get(MCP_PROTOCOL_VERSION_HEADER), headers.get(MCP_SESSION_ID_HEADER)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._manager.handle_request(connection, receive, send)
        elif session_id is None:
            await self._serve_opening(connection, receive, send)
        else:
            await self._serve_known(self._by_id.get(session_id), connection, receive, send)

    async def serve_stream(self, app: ASGIApp, connection: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream of SSE, which is a session until it is closed."""
        if (refusal := await self._refusal(connection)) is not None:
            await refusal(connection, receive, send)
            return
        async with self._used(self._add(connection)) as session:
            try:
                await app(connection, receive, send)
            finally:
                self._drop(session)

    async def _serve_opening(self, connection: Scope, receive: Receive, send: Send) -> None:
        if (refusal := await self._refusal(connection)) is not None:
            await refusal(connection, receive, send)
            return
        session = self._add(connection)

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:  # noqa: PLR2004  # HTTP
                session.id = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if session.id is not None:
                    self._by_id[session.id] = session
            await send(message)

        async with self._used(session):
            try:
                await self._manager.handle_request(connection, receive, watch)
            finally:
                if session.id is None:  # it has not been opened
                    self._drop(session)

    async def _serve_known(self, session: _OpenSession | None, connection: Scope, receive: Receive, send: Send) -> None:
        if session is None or session.owner != connection[PRINCIPAL].id:
            await self._manager.handle_request(connection, receive, send)
            return

        async def watch(message: Message) -> None:
            ended = connection["method"] == "DELETE" and message.get("status") == 200  # noqa: PLR2004  # HTTP
            if ended or message.get("status") == 404:  # noqa: PLR2004  # HTTP
                self._drop(session)
            await send(message)

        async with self._used(session):
            await self._manager.handle_request(connection, receive, watch)

    async def _refusal(self, connection: Scope) -> Response | None:
        """Return the answer to one session too many; else None, and the session may be opened."""
        self._forget_expired()
        limits, owner = self._limits, connection[PRINCIPAL].id
        own = [session for session in self._open if session.owner == owner]
        if len(own) < limits.per_token and self.count < limits.total:
            return None
        idle = [session for session in own if session.requests == 0]
        if idle:
            await self._end(min(idle, key=lambda session: session.last_used))
            return None
        if len(own) >= limits.per_token:
            return _refuse(429, f"This access token has {len(own)} sessions in use. Close one, or use another token.")
        return _refuse(503, "The server has as many sessions as it may. Repeat the request later.")

    def _forget_expired(self) -> None:
        """Forget those that the SDK has ended because they were idle."""
        before = monotonic() - self._limits.idle_seconds
        for session in [one for one in self._open if one.requests == 0 and one.last_used < before]:
            self._drop(session)

    async def _end(self, session: _OpenSession) -> None:
        """End a session as its own client would."""
        self._drop(session)
        headers = [(name, value) for name, value in session.opening["headers"] if name in {b"host", b"accept"}]
        headers.append((MCP_SESSION_ID_HEADER.encode(), (session.id or "").encode()))
        await self._manager.handle_request({**session.opening, "method": "DELETE", "headers": headers}, _no_body, _drop)

    def _add(self, connection: Scope) -> _OpenSession:
        session = _OpenSession(connection[PRINCIPAL].id, connection)
        self._open.add(session)
        return session

    def _drop(self, session: _OpenSession) -> None:
        self._open.discard(session)
        if session.id is not None:
            self._by_id.pop(session.id, None)

    @asynccontextmanager
    async def _used(self, session: _OpenSession) -> AsyncIterator[_OpenSession]:
        """Count a request, during which the session is not idle."""
        session.requests += 1
        try:
            yield session
        finally:
            session.requests -= 1
            session.last_used = monotonic()


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _drop(_message: Message) -> None: ...


def _refuse(status: int, message: str) -> Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": INTERNAL_ERROR, "message": message}}
    return JSONResponse(error, status, {"Retry-After": str(RETRY_SECONDS)})
