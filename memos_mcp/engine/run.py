"""Runs an engine from its start to its end."""

import logging
import os
import signal
from pathlib import Path
from socket import socket
from typing import Final

import anyio
from anyio.abc import TaskGroup

from memos_mcp import __version__
from memos_mcp.app import assemble, running
from memos_mcp.domain.errors import Invalid, MemosError
from memos_mcp.engine.admission import own_scope
from memos_mcp.engine.client_connection import handle_connection
from memos_mcp.engine.clients import ClientRegistry
from memos_mcp.ipc.run_dir import SOCKET, RunDir
from memos_mcp.settings import Settings
from memos_mcp.transports.http import HttpServer

logger = logging.getLogger(__name__)

IDLE_CHECK_SECONDS: Final = 1.0
ACCEPT_RETRY_SECONDS: Final = 0.1


async def run_engine(settings: Settings, run_dir: RunDir, listener: socket | None, *, foreground: bool) -> None:
    """Serve until stopped; in the background also until no client has come for `settings.idle_seconds`.

    In the foreground, serve over HTTP as well. Raise the error that makes serving impossible, once every client knows
    it. The lock of the data folder must be held.
    """
    clients = ClientRegistry(assemble(settings), run_dir, foreground=foreground)
    http = _http_server(clients)
    logger.info("engine %s, process %d, serves %s", __version__, os.getpid(), run_dir.home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_handle_signals, clients, http, tasks)
        tasks.start_soon(_serve_clients, clients, listener, http)
        if not foreground:
            tasks.start_soon(_stop_when_idle, clients, settings.idle_seconds, _socket_id(run_dir))
        await _run_app(clients)
        tasks.cancel_scope.cancel()
    logger.info("process %d has stopped", os.getpid())
    if clients.failure is not None:
        raise clients.failure


def _http_server(clients: ClientRegistry) -> HttpServer | None:
    settings = clients.app.settings
    if not clients.foreground and not settings.http:
        return None
    try:
        scope = own_scope(settings)
        http = HttpServer(clients.app, scope, settings, clients.track_client)
    except Invalid as error:
        if clients.foreground:
            raise
        logger.error("HTTP is not served. %s", error)  # noqa: TRY400  # the message says all
        return None
    clients.url = f"{http.url}/mcp"
    return http


async def _run_app(clients: ClientRegistry) -> None:
    """Keep the app open until the last client has disconnected."""
    try:
        async with running(clients.app):
            await clients.drained.wait()
    except MemosError as error:
        clients.fail(error)
        await clients.drained.wait()


async def _serve_clients(clients: ClientRegistry, listener: socket | None, http: HttpServer | None) -> None:
    async with anyio.create_task_group() as connections:
        if listener is not None:
            connections.start_soon(_accept, clients, listener, connections)
        if http is not None:
            connections.start_soon(http.serve)
        await clients.stopping.wait()
        if http is not None:
            http.close()
    clients.drained.set()


async def _accept(clients: ClientRegistry, listener: socket, connections: TaskGroup) -> None:
    """Accept connections until the engine stops, and then those that were made before the socket was removed."""
    own_socket = _socket_id(clients.run_dir)
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_accept_forever, clients, listener, connections)
            await clients.stopping.wait()
            tasks.cancel_scope.cancel()
        if _socket_id(clients.run_dir) == own_socket:  # the data folder may have been removed and created again
            clients.run_dir.remove_socket()
        _accept_all(clients, listener, connections)


async def _accept_forever(clients: ClientRegistry, listener: socket, connections: TaskGroup) -> None:
    while True:
        await anyio.wait_readable(listener)
        if not _accept_all(clients, listener, connections):
            await anyio.sleep(ACCEPT_RETRY_SECONDS)


def _accept_all(clients: ClientRegistry, listener: socket, connections: TaskGroup) -> bool:
    """Accept all pending connections; return whether there was one."""
    accepted = False
    try:
        while True:
            connection, _ = listener.accept()
            connections.start_soon(handle_connection, clients, connection)
            accepted = True
    except BlockingIOError:
        pass
    except OSError:
        logger.exception("A connection cannot be accepted")
    return accepted


async def _stop_when_idle(clients: ClientRegistry, seconds: float, own_socket: tuple[int, int] | None) -> None:
    while True:
        await anyio.sleep(IDLE_CHECK_SECONDS)
        if clients.is_idle(seconds):
            clients.stop(f"no client for {seconds:g} s")
        elif not clients.in_use and _socket_id(clients.run_dir) != own_socket:
            clients.stop("its socket has been removed, so that no client can connect")


def _socket_id(run_dir: RunDir) -> tuple[int, int] | None:
    try:
        found = Path(run_dir.folder, SOCKET).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def _handle_signals(clients: ClientRegistry, http: HttpServer | None, tasks: TaskGroup) -> None:
    """Stop at the first signal, after draining at SIGTERM; stop at the second one; cancel everything at the next."""
    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup asks to outlive the terminal
        handled.append(signal.SIGHUP)
    to_drain = http if clients.app.settings.drain_seconds else None
    with anyio.open_signal_receiver(*handled) as signals:
        async for number in signals:
            if clients.stopping.is_set():
                tasks.cancel_scope.cancel()
            elif number == signal.SIGTERM and to_drain is not None:
                tasks.start_soon(_drain, clients, to_drain)
                to_drain = None
            else:
                clients.stop(f"signal {number.name}")


async def _drain(clients: ClientRegistry, http: HttpServer) -> None:
    """Serve until a proxy has noticed that this engine is not ready any more, then stop."""
    seconds = clients.app.settings.drain_seconds
    logger.info("draining for %g s", seconds)
    http.drain()
    await anyio.sleep(seconds)
    clients.stop(f"drained for {seconds:g} s")
