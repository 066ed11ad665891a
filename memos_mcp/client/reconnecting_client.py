"""Calls tools of the server at a URL or over stdio; a connection that was lost is replaced by the next call."""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Tool
from pydantic import SecretStr

from memos_mcp.client.client_errors import ServerUnavailable
from memos_mcp.client.server_connection import Result, ServerConnection, Shape, first_error

SECONDS: Final = 20.0

_REFUSALS: Final = {
    401: "does not accept the token (HTTP 401)",
    403: "does not accept the request (HTTP 403)",
    404: "is not at this URL (HTTP 404), which ends with /mcp",
    503: "takes no more clients right now (HTTP 503)",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the server over stdio; without a command, this Python's `memos-as`.

    The server inherits little more than PATH and HOME from this process: `env` must hold the variables that it needs
    (`MEMOS_HOME`, `MEMOS_NAMESPACE`, `MEMOS_AGENT_ID`).
    """

    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class ReconnectingClient:
    """The server at a URL (streamable HTTP, with a bearer token if it requires one), or launched over stdio.

    Entering starts to connect without waiting. Every call returns or raises within `timeout` seconds, including the
    time to connect.
    """

    def __init__(
        self,
        server: Launch | str | None = None,
        *,
        token: SecretStr | str | None = None,
        timeout: float = SECONDS,
    ) -> None:
        self._server = Launch() if server is None else server
        self._token = SecretStr(token) if isinstance(token, str) else token
        self._timeout = timeout
        self._tasks: TaskGroup | None = None
        self._connection: ServerConnection | None = None

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._current()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks, self._tasks, self._connection = self._tasks, None, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)  # passed the caller's error, it would wrap it in a group

    async def tools(self) -> Mapping[str, Tool]:
        """Return the tools that the server lists, by their names; raise `MemosClientError`."""
        return await self._request(ServerConnection.listed_tools)

    async def call(
        self, tool: str, arguments: Mapping[str, Any], shape: type[Shape], *, repeatable: bool = True
    ) -> Shape:
        """Call a tool and return its answer as `shape`; raise `MemosClientError`.

        repeatable: call it once more when the connection was lost. Without, such a call may have been done or not.
        """
        return await self._request(lambda connection: connection.call(tool, arguments, shape), repeatable=repeatable)

    async def _request(
        self, request: Callable[[ServerConnection], Awaitable[Result]], *, repeatable: bool = True
    ) -> Result:
        """Make a request within the time limit."""
        try:
            with anyio.fail_after(self._timeout):
                return await self._attempt(request, repeatable=repeatable)
        except TimeoutError:
            raise ServerUnavailable(f"did not answer within {self._timeout:g} s") from None

    async def _attempt(self, request: Callable[[ServerConnection], Awaitable[Result]], *, repeatable: bool) -> Result:
        """Make a request on the current connection, and once more on a new one if that was lost."""
        connection = self._current()
        try:
            return await request(connection)
        except ServerUnavailable:
            if connection.client is None or not repeatable:
                raise
        return await self._attempt(request, repeatable=False)

    def _current(self) -> ServerConnection:
        """Return the current connection; start a new one if there is none."""
        if self._tasks is None:
            raise ServerUnavailable("is not connected: a client works inside its `async with`")
        if self._connection is None or self._connection.lost.is_set():
            self._connection = ServerConnection()
            self._tasks.start_soon(self._connect, self._connection)
        return self._connection

    async def _connect(self, connection: ServerConnection) -> None:
        """Hold one connection until it is lost. It has its own task, as the task that opens a client must close it."""
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._timeout) as scope:
                async with self._client(connection) as client:
                    scope.deadline = float("inf")
                    connection.client = client
                    connection.settled.set()
                    await connection.lost.wait()
            if scope.cancelled_caught:
                connection.reason = f"could not be connected to within {self._timeout:g} s"
        except Exception as error:
            logger.warning("memOS.as cannot be reached: %s", first_error(error))
            logger.debug("memOS.as cannot be reached", exc_info=error)
        finally:
            connection.lost.set()
            connection.settled.set()

    @asynccontextmanager
    async def _client(self, connection: ServerConnection) -> AsyncIterator[Client]:
        async def note_refusal(response: httpx2.Response) -> None:  # the SDK's error does not say why
            connection.reason = _REFUSALS.get(response.status_code, connection.reason)

        if isinstance(self._server, Launch):
            async with Client(_stdio(self._server)) as client:
                yield client
            return
        headers = {"authorization": f"Bearer {self._token.get_secret_value()}"} if self._token else {}
        async with (
            httpx2.AsyncClient(
                headers=headers,
                timeout=self._timeout,
                trust_env=False,
                event_hooks={"response": [note_refusal]},
            ) as http,
            Client(streamable_http_client(self._server, http_client=http)) as client,
        ):
            yield client


def _stdio(launch: Launch) -> StdioServerParameters:
    command, args = (launch.command, launch.args) if launch.command else (sys.executable, ("-m", "memos_mcp"))
    return StdioServerParameters(command=command, args=list(args), env=dict(launch.env))
