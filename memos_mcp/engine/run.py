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
from memos_mcp.engine.admission import scope_of
from memos_mcp.engine.client_connection import attend
from memos_mcp.engine.clients import ClientRegistry
from memos_mcp.ipc.run_dir import SOCKET, RunDir
from memos_mcp.settings import Settings
from memos_mcp.transports.http import HttpServer

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
ACCEPT_RETRY_SECONDS: Final = 0.1


async def run_engine(settings: Settings, place: RunDir, listener: socket | None, *, foreground: bool) -> None:
    """Serve until told to leave, or, in the background, until nobody has come for `settings.idle_seconds`.

    In the foreground, over HTTP as well. Raise what makes serving impossible once every client has been told.
    The lock of the data folder must be held.
    """
    clients = ClientRegistry(assemble(settings), place, foreground=foreground)
    door = _open_door(clients)
    logger.info("engine %s, process %d, serves %s", __version__, os.getpid(), place.home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey_signals, clients, tasks.cancel_scope)
        tasks.start_soon(_receive_visitors, clients, listener, door)
        if not foreground:
            tasks.start_soon(_leave_when_idle, clients, settings.idle_seconds, _socket_id(place))
        await _lend_app(clients)
        tasks.cancel_scope.cancel()
    logger.info("process %d has left", os.getpid())
    if clients.failure is not None:
        raise clients.failure


def _open_door(clients: ClientRegistry) -> HttpServer | None:
    settings = clients.app.settings
    if not clients.foreground and not settings.http:
        return None
    try:
        door = HttpServer(clients.app, scope_of(settings.namespace, settings.agent_id), settings, clients.visit)
    except Invalid as error:
        if clients.foreground:
            raise
        logger.error("The HTTP door stays closed. %s", error)  # noqa: TRY400  # the message says all
        return None
    clients.url = f"{door.url}/mcp"
    return door


async def _lend_app(clients: ClientRegistry) -> None:
    """Keep the app open until the last client has gone."""
    try:
        async with running(clients.app):
            await clients.left.wait()
    except MemosError as error:
        clients.give_up(error)
        await clients.left.wait()


async def _receive_visitors(clients: ClientRegistry, listener: socket | None, door: HttpServer | None) -> None:
    async with anyio.create_task_group() as visits:
        if listener is not None:
            visits.start_soon(_accept, clients, listener, visits)
        if door is not None:
            visits.start_soon(door.serve)
        await clients.leaving.wait()
        if door is not None:
            door.close()
    clients.left.set()


async def _accept(clients: ClientRegistry, listener: socket, visits: TaskGroup) -> None:
    """Attend to whoever connects, until the engine leaves; and then to those who came before the socket was gone."""
    ours = _socket_id(clients.place)
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_accept_for_ever, clients, listener, visits)
            await clients.leaving.wait()
            tasks.cancel_scope.cancel()
        if _socket_id(clients.place) == ours:  # the data folder may have been removed and made again
            clients.place.leave()
        _accept_all(clients, listener, visits)


async def _accept_for_ever(clients: ClientRegistry, listener: socket, visits: TaskGroup) -> None:
    while True:
        await anyio.wait_readable(listener)
        if not _accept_all(clients, listener, visits):
            await anyio.sleep(ACCEPT_RETRY_SECONDS)


def _accept_all(clients: ClientRegistry, listener: socket, visits: TaskGroup) -> bool:
    """Take in everybody who waits; return whether that was anybody."""
    anybody = False
    try:
        while True:
            connection, _ = listener.accept()
            visits.start_soon(attend, clients, connection)
            anybody = True
    except BlockingIOError:
        pass
    except OSError:
        logger.exception("A client cannot be let in")
    return anybody


async def _leave_when_idle(clients: ClientRegistry, seconds: float, ours: tuple[int, int] | None) -> None:
    while True:
        await anyio.sleep(LOOK_SECONDS)
        if clients.is_idle(seconds):
            clients.leave(f"nobody came for {seconds:g} s")
        elif not clients.in_use and _socket_id(clients.place) != ours:
            clients.leave("nobody can come: its socket has been removed")


def _socket_id(place: RunDir) -> tuple[int, int] | None:
    try:
        found = Path(place.folder, SOCKET).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


async def _obey_signals(clients: ClientRegistry, everything: anyio.CancelScope) -> None:
    """Leave at the first signal; end everything at the next."""
    obeyed = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup asks to outlive the terminal
        obeyed.append(signal.SIGHUP)
    with anyio.open_signal_receiver(*obeyed) as signals:
        async for number in signals:
            if clients.leaving.is_set():
                everything.cancel()
            clients.leave(f"signal {number.name}")
