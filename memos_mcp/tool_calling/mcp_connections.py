"""The open connections to MCP servers: one a server, started at its first use, closed when it is lost or idle."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

import anyio
from anyio.abc import TaskGroup
from mcp.client.session import IncomingMessage
from mcp_types import ToolListChangedNotification

from memos_mcp.tool_calling.mcp_connection import McpConnection, McpConnector, reason_of
from memos_mcp.tool_calling.private_file import FileUnusable
from memos_mcp.tool_calling.tool_servers import ServerDown, ServerLookup

ListChanged: TypeAlias = Callable[[str], Awaitable[None]]
"""Is called with the name of a server whose list of tools has changed."""

logger = logging.getLogger(__name__)


class McpConnections:
    """Connections to the servers that `servers` returns, within its `async with`.

    start_seconds bounds the start of a server, whose connection is closed when it was not used for idle_seconds.
    """

    def __init__(
        self,
        servers: ServerLookup,
        connector: McpConnector,
        *,
        start_seconds: float,
        idle_seconds: float,
        on_list_changed: ListChanged | None,
    ) -> None:
        self._servers = servers
        self._connector = connector
        self._start_seconds = start_seconds
        self._idle_seconds = idle_seconds
        self._on_list_changed = on_list_changed
        self._tasks: TaskGroup | None = None
        self._open: dict[str, McpConnection] = {}
        self._changed: set[str] = set()
        self._reporting = anyio.Lock()

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks, self._tasks = self._tasks, None
        self._open.clear()
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)  # passed the caller's error, it would wrap it in a group

    @asynccontextmanager
    async def connected(self, name: str) -> AsyncIterator[McpConnection]:
        """Yield a connection that stays open meanwhile; raise `ServerDown` when there is none."""
        connection = self._current(name)
        connection.calls += 1
        try:
            await connection.settled.wait()
            if connection.client is None:
                raise ServerDown(connection.why)
            yield connection
        finally:
            connection.calls -= 1
            connection.used = anyio.current_time()

    def _current(self, name: str) -> McpConnection:
        """Return the connection of a server; start one if there is none, or the server is another one since."""
        if self._tasks is None:
            raise ServerDown("memos-as is stopping")
        try:
            server = self._servers(name)
        except FileUnusable as error:
            raise ServerDown(str(error).rstrip(".")) from None
        if server is None:
            raise ServerDown("it is not known here: memos-as tools add-mcp adds it")
        connection = self._open.get(name)
        if connection is not None and connection.server != server:
            connection.lose("its configuration was changed")
        if connection is None or connection.lost.is_set():
            connection = self._open[name] = McpConnection(server)
            self._tasks.start_soon(self._hold, connection)
        return connection

    async def _hold(self, connection: McpConnection) -> None:
        """Hold a connection until it is lost or idle. The task that opens a client must close it."""

        async def on_message(message: IncomingMessage) -> None:
            if isinstance(message, ToolListChangedNotification):
                self._report_change(connection.server.name)

        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._start_seconds) as scope:
                async with self._connector.opened(connection, on_message) as client:
                    scope.deadline = float("inf")
                    connection.client, connection.used = client, anyio.current_time()
                    connection.settled.set()
                    await self._until_idle(connection)
            if scope.cancelled_caught:
                connection.lose(f"it did not start within {self._start_seconds:g} s")
        except Exception as error:  # noqa: BLE001  # the SDK raises what its transports raise
            if (reason := reason_of(error)) is not None:
                connection.lose(reason)
        finally:
            connection.lost.set()
            connection.settled.set()

    async def _until_idle(self, connection: McpConnection) -> None:
        """Wait until a connection is lost, or was not used for long."""
        while not connection.lost.is_set():
            with anyio.move_on_after(self._idle_seconds):
                await connection.lost.wait()
            if not connection.calls and anyio.current_time() - connection.used >= self._idle_seconds:
                connection.lose("it was not used")

    def _report_change(self, server: str) -> None:
        """Have a change reported, once for all that come before the report begins."""
        if self._on_list_changed is None or self._tasks is None or server in self._changed:
            return
        self._changed.add(server)
        self._tasks.start_soon(self._report, self._on_list_changed, server)

    async def _report(self, on_list_changed: ListChanged, server: str) -> None:
        async with self._reporting:
            self._changed.discard(server)
            try:
                await on_list_changed(server)
            except Exception as error:  # noqa: BLE001  # a failed report must not end the connections
                logger.warning("The tools of the MCP server %s were not updated: %s", server, type(error).__name__)
