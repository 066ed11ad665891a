"""The end of an HTTP server behind a proxy: it is no longer ready, and answers until that is noticed."""

from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READY_PATH: Final = "/readyz"


class DrainableApp:
    """A web application that answers `/readyz` with 503 from `drain` on.

    All other requests are answered as before, but each answer closes its connection: a proxy keeps no connection that
    it would find closed when it sends the next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._draining = False

    def drain(self) -> None:
        """Report from now on that this server is about to stop."""
        self._draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        if self._draining and scope["type"] == "http" and scope["path"] == READY_PATH:
            await JSONResponse({"status": "draining", "parts": {}}, 503)(scope, receive, send_last)
        else:
            await self._app(scope, receive, send_last)
