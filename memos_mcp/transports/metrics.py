"""Serves `/metrics`, and counts the clients of the HTTP transports."""

from importlib import import_module
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.telemetry.recorder import Recorder, Transport

EXPOSITION: Final = "memos_mcp.telemetry.prometheus"


async def serve_metrics(app: App, connection: Connection, receive: Receive, send: Send) -> None:
    """Answer with the metrics, in the format of Prometheus or OpenMetrics."""
    state = await app.state()
    await to_thread.run_sync(import_module, EXPOSITION)  # it takes a while, and only those who scrape need it
    from memos_mcp.telemetry.prometheus import exposition

    accept = Request(connection).headers.get("accept", "")
    content, content_type = exposition(app.telemetry, state, accept)
    await Response(content, headers={"content-type": content_type})(connection, receive, send)


def count_clients(recorder: Recorder, transport: Transport, app: ASGIApp) -> ASGIApp:
    """Return an application that counts each request as a client until it ends."""

    async def counted(connection: Connection, receive: Receive, send: Send) -> None:
        with recorder.client(transport):
            await app(connection, receive, send)

    return counted
