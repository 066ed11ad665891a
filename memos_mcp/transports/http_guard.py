"""Guards a part of the HTTP server: who may reach it is decided before anything of a request is read."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.domain.scope import Right
from memos_mcp.transports.http_auth import Authentication

TrackClient: TypeAlias = Callable[[], AbstractContextManager[None]]


class Guard:
    """Admits a request with a valid token, which has the `right` if one is named. `CheckHead` has checked the rest.

    `track_client` wraps each admitted request from its beginning to its end.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        track_client: TrackClient = nullcontext,
        right: Right | None = None,
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._track_client = track_client
        self._right: Right | None = right

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        refusal = await self._authentication.refusal(connection, self._right)
        if refusal is not None:
            await refusal(connection, receive, send)
            return
        with self._track_client():
            await self._app(connection, receive, send)
