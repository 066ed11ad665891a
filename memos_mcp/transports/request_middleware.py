"""What every HTTP request passes: it gets an id, which is returned with the answer, and refused tokens are counted."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.telemetry.request_ids import HEADER, chosen, serving

UNAUTHORIZED: Final = 401


class RequestIds:
    """ASGI middleware. The id is in `state.request_id` of the request, and in the context in which it is served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self._app(connection, receive, send)
            return
        request_id = chosen(Headers(scope=connection).get(HEADER))
        connection.setdefault("state", {})["request_id"] = request_id

        async def send_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with serving(request_id):
            await self._app(connection, receive, send_id)


class CountRefusals:
    """ASGI middleware. It counts the requests that are answered with 401, and has them recorded."""

    def __init__(self, app: ASGIApp, services: App) -> None:
        self._app = app
        self._services = services

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        async def count(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == UNAUTHORIZED:
                self._services.telemetry.unauthenticated += 1
                self._services.audit.unauthenticated("http")
            await send(message)

        await self._app(connection, receive, count)
