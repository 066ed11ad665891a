"""One connection of the engine's socket: who is it, what does it want, and serving it."""

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
from memos_mcp.engine.clients import FAREWELL_SECONDS, ClientRegistry
from memos_mcp.engine.control import first_line
from memos_mcp.ipc.handshake import PREFIX, PROTOCOL, decode, encode
from memos_mcp.mcp_server.server import build_server
from memos_mcp.transports.fd_streams import Receive, Send, receiving, sending
from memos_mcp.transports.jsonrpc_lines import serve_lines

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 10.0


async def attend(clients: ClientRegistry, connection: socket) -> None:
    """Do what this connection asks for, and close it. Whatever goes wrong concerns nobody else."""
    with connection:
        try:
            receive, send = receiving(connection.fileno()), sending(connection.fileno())
            line = rest = b""
            with clients.patience():
                line, rest = await first_line(receive)
            await _answer(clients, line, _resumed(rest, receive), send)
        except OSError:
            logger.debug("a client has gone", exc_info=True)
        except Exception:
            logger.exception("a connection failed")


async def _answer(clients: ClientRegistry, line: bytes, receive: Receive, send: Send) -> None:
    told = decode(line)
    if told is None:
        if line.startswith(PREFIX):
            await send(encode(answer="refused", reason=f"This engine, {__version__}, speaks protocol {PROTOCOL}."))
        return
    match told.get("want"):
        case "serve":
            await _serve(clients, told, receive, send)
        case "status":
            await send(encode(**await clients.status()))
        case "stop":
            clients.leave("it was told to")
            await send(encode(answer="leaving"))
        case _:
            await send(encode(answer="refused", reason="want must be serve, status or stop."))


async def _serve(clients: ClientRegistry, told: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if clients.leaving.is_set():
        await send(clients.farewell)
        return
    try:
        scope = scope_of(told.get("namespace"), told.get("agent_id"))
    except Invalid as error:
        await send(encode(answer="refused", reason=str(error)))
        return
    verdict = _verdict(clients, told)
    if verdict.answer == "leaving":
        clients.leave(str(verdict.reason))
    answer = encode(**verdict.told(), pid=os.getpid(), version=__version__)
    if verdict.answer != "welcome":
        await send(answer)
        return
    with clients.visit():
        await send(answer)
        await _converse(clients, scope, receive, send)


def _verdict(clients: ClientRegistry, told: Mapping[str, Any]) -> Verdict:
    given = told.get("settings")
    differing = clients.app.settings.differing(given if isinstance(given, dict) else {})
    version = str(told.get("version"))
    return judge(__version__, version, differing, others=clients.in_use, foreground=clients.foreground)


async def _converse(clients: ClientRegistry, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve MCP until the client leaves, or the engine does."""
    reading, writing = anyio.CancelScope(), anyio.Lock()

    async def send_line(line: bytes) -> None:
        async with writing:
            await send(line)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_dismiss, clients, send_line, reading)
        server = build_server(clients.app, scope)
        await serve_lines(server, receive, send_line, reading=reading, grace=GRACE_SECONDS)
        tasks.cancel_scope.cancel()


async def _dismiss(clients: ClientRegistry, send_line: Send, reading: anyio.CancelScope) -> None:
    """Once the engine leaves, tell the client; stop reading if it goes on sending."""
    await clients.leaving.wait()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tell, send_line, clients.farewell)
        await anyio.sleep(FAREWELL_SECONDS)
        reading.cancel()


async def _tell(send_line: Send, line: bytes) -> None:
    try:
        await send_line(line)
    except OSError:
        logger.debug("a client has gone", exc_info=True)


def _resumed(rest: bytes, receive: Receive) -> Receive:
    """Begin with bytes that were read already."""
    unread = [rest] if rest else []

    async def resume() -> bytes:
        return unread.pop() if unread else await receive()

    return resume
