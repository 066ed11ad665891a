"""The stdio transport: MCP on this process's stdin and stdout, which no other code in the process can reach."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import anyio

from memos_mcp.app import App
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.server import build_server
from memos_mcp.transports.fd_streams import CHUNK_BYTES, Receive, Send, receiving, sending
from memos_mcp.transports.jsonrpc_lines import serve_lines


async def serve_stdio(app: App, scope: Scope) -> None:
    """Serve one client until it closes stdin or a signal stops the process. The caller closes the app."""
    server = build_server(app, scope)
    source, sink, shared = _claim_streams()
    receive = _blocking_receive(source) if shared or not _is_pipe(source) else receiving(source)
    send = _blocking_send(sink) if shared or not _is_pipe(sink) else sending(sink)
    reading = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, reading, tasks.cancel_scope)
        await serve_lines(server, receive, send, reading=reading)
        tasks.cancel_scope.cancel()


async def _stop_on_signal(reading: anyio.CancelScope, everything: anyio.CancelScope) -> None:
    """Stop reading at the first signal, so that requests under way can finish; cancel everything at the second."""
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            if reading.cancel_called:
                everything.cancel()
            reading.cancel()


def _claim_streams() -> tuple[int, int, bool]:
    """Move stdin and stdout to other file descriptors: code that prints writes to stderr, code that reads gets the end.

    Return both, and whether any two of stdin, stdout and stderr are one file. It must then stay in blocking mode,
    because its other users would get errors.
    """
    files = [os.fstat(fd) for fd in (0, 1, 2)]
    shared = len({(file.st_dev, file.st_ino) for file in files}) < len(files)
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink, shared


def _is_pipe(fd: int) -> bool:
    """Whether the event loop can wait for it. A file or a terminal needs a thread."""
    mode = os.fstat(fd).st_mode
    return sys.platform != "win32" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def _blocking_receive(fd: int) -> Receive:
    thread = _DaemonThread("stdin")

    async def receive() -> bytes:
        try:
            return bytes(await thread.run(partial(os.read, fd, CHUNK_BYTES)))
        except OSError:
            return b""

    return receive


def _blocking_send(fd: int) -> Send:
    thread = _DaemonThread("stdout")

    async def send(data: bytes) -> None:
        remaining = memoryview(data)
        while remaining:
            remaining = remaining[await thread.run(partial(os.write, fd, remaining)) :]

    return send


class _DaemonThread:
    """Runs blocking calls one by one in a thread that never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = SimpleQueue()
        Thread(target=self._serve, args=(asyncio.get_running_loop(),), name=name, daemon=True).start()

    async def run(self, call: Callable[[], Any]) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls.put((future, call))
        return await future

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            future, call = self._calls.get()
            try:
                settle, outcome = future.set_result, call()
            except OSError as error:
                settle, outcome = future.set_exception, error
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(_settle, future, settle, outcome)


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: object) -> None:
    if not future.done():
        settle(outcome)
