"""One connection to the engine's socket: the handshake, then MCP."""

import logging
import os
from collections.abc import Mapping
from socket import socket
from typing import Any, Final

import anyio

from memos_mcp import __version__
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope
from memos_mcp.engine.admission import Verdict, judge, scope_of
from memos_mcp.engine.clients import NOTICE_SECONDS, ClientRegistry
from memos_mcp.engine.control import run_steps
from memos_mcp.ipc.handshake import PREFIX, PROTOCOL, decode, encode, read_line
from memos_mcp.mcp_server.server import build_server
from memos_mcp.transports.fd_streams import Receive, Send, receiving, sending
from memos_mcp.transports.jsonrpc_lines import serve_lines

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 10.0


async def handle_connection(clients: ClientRegistry, connection: socket) -> None:
    """Answer this connection's request, and close it. An error affects no other connection."""
    with connection:
        try:
            receive, send = receiving(connection.fileno()), sending(connection.fileno())
            line = b""
            with clients.handshake_timeout():
                line = await run_steps(read_line(connection))
            await _answer(clients, line, receive, send)
        except OSError:
            logger.debug("a client has disconnected", exc_info=True)
        except Exception:
            logger.exception("a connection failed")


async def _answer(clients: ClientRegistry, line: bytes, receive: Receive, send: Send) -> None:
    request = decode(line)
    if request is None:
        if line.startswith(PREFIX):
            await send(encode(answer="refused", reason=f"This engine, {__version__}, speaks protocol {PROTOCOL}."))
        return
    match request.get("want"):
        case "serve":
            await _serve(clients, request, receive, send)
        case "status":
            await send(encode(**await clients.status()))
        case "stop":
            clients.stop("requested by memos-as stop")
            await send(encode(answer="leaving"))
        case _:
            await send(encode(answer="refused", reason="want must be serve, status or stop."))


async def _serve(clients: ClientRegistry, request: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if clients.stopping.is_set():
        await send(clients.shutdown_notice)
        return
    try:
        scope = scope_of(request.get("namespace"), request.get("agent_id"))
    except Invalid as error:
        await send(encode(answer="refused", reason=str(error)))
        return
    verdict = _verdict(clients, request)
    if verdict.answer == "leaving":
        clients.stop(str(verdict.reason))
    answer = encode(**verdict.payload(), pid=os.getpid(), version=__version__)
    if verdict.answer != "welcome":
        await send(answer)
        return
    with clients.track_client(), clients.app.telemetry.client("stdio"):
        await send(answer)
        await _serve_mcp(clients, scope, receive, send)


def _verdict(clients: ClientRegistry, request: Mapping[str, Any]) -> Verdict:
    given = request.get("settings")
    differing = clients.app.settings.differing(given if isinstance(given, dict) else {})
    version = str(request.get("version"))
    return judge(__version__, version, differing, others=clients.in_use, foreground=clients.foreground)


async def _serve_mcp(clients: ClientRegistry, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve MCP until the client disconnects or the engine stops."""
    reading, writing = anyio.CancelScope(), anyio.Lock(fast_acquire=True)

    async def send_line(line: bytes) -> None:
        async with writing:
            await send(line)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_reading, clients, send_line, reading)
        server = build_server(clients.app, scope)
        await serve_lines(server, receive, send_line, reading=reading, grace=GRACE_SECONDS)
        tasks.cancel_scope.cancel()


async def _stop_reading(clients: ClientRegistry, send_line: Send, reading: anyio.CancelScope) -> None:
    """Once the engine stops, send the shutdown notice; stop reading from a client that keeps sending."""
    await clients.stopping.wait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_send_notice, send_line, clients.shutdown_notice)
        await anyio.sleep(NOTICE_SECONDS)
        reading.cancel()


async def _send_notice(send_line: Send, notice: bytes) -> None:
    try:
        await send_line(notice)
    except OSError:
        logger.debug("a client has disconnected", exc_info=True)
