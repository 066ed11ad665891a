"""The client of the memory service (memOS.as) over MCP: it reconnects, and its calls never raise."""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from pydantic import SecretStr

from memos_mcp.orchestrator.answers import (
    Answer,
    BuildLoadoutResult,
    DiscoverToolsResult,
    Knowledge,
    MemoryDown,
    QueryMemoryResult,
    ReportOutcomeResult,
    StoreMemoryResult,
)
from memos_mcp.orchestrator.payload import KnownTool
from memos_mcp.orchestrator.service_connection import ServiceConnection, ask, first_error, listed_tools

ATTEMPTS: Final = 2
MAX_NEEDS: Final = 8
REPORT: Final = "report_outcome"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the service over stdio; without a command, this Python's `memos-as`.

    The service inherits little more than PATH and HOME from this process: `env` must hold the variables that it needs
    (`MEMOS_HOME`, `MEMOS_NAMESPACE`, `MEMOS_AGENT_ID`).
    """

    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class MemoryService:
    """The service at a URL (streamable HTTP, with a bearer token if it requires one), or launched over stdio.

    Entering starts to connect without waiting; the next call replaces a lost connection.
    Every call returns within `timeout` seconds, including the time to connect.
    """

    def __init__(
        self, server: Launch | str | None = None, *, token: SecretStr | str | None = None, timeout: float = 20.0
    ) -> None:
        self._server = Launch() if server is None else server
        self._token = SecretStr(token) if isinstance(token, str) else token
        self._timeout = timeout
        self._tasks: TaskGroup | None = None
        self._connection: ServiceConnection | None = None

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._current()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks, self._tasks, self._connection = self._tasks, None, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)  # passed the caller's error, it would wrap it in a group

    async def query(self, text: str, *, limit: int = 8, tags: Sequence[str] = ()) -> Knowledge | MemoryDown:
        """Find memories by meaning and words, best first; those with all of `tags`."""
        arguments = {"query": text, "limit": limit} | ({"tags": list(tags)} if tags else {})
        answer = await self._call("query_memory", arguments, QueryMemoryResult)
        if isinstance(answer, MemoryDown):
            return answer
        return Knowledge(memories=answer.memories, degraded=answer.degraded)

    async def discover(
        self, needs: Sequence[str], *, limit: int = 5, capabilities: Sequence[str] | None = None
    ) -> Knowledge | MemoryDown:
        """Find tools for these needs, with complete schemas; `capabilities` are those of the agent."""
        answer = await self._discover(capabilities, queries=needs[:MAX_NEEDS], limit=limit)
        if isinstance(answer, MemoryDown):
            return answer
        return Knowledge(tools=await self._complete_tools(answer), degraded=answer.degraded)

    async def loadout(self, task: str, name: str, *, needs: Sequence[str] = ()) -> Knowledge | MemoryDown:
        """Build the pack of a loadout for a task: role, memories, tools, and the needs that nothing covers."""
        arguments = {"task": task, "name": name} | ({"needs": list(needs[:MAX_NEEDS])} if needs else {})
        answer = await self._call("build_loadout", arguments, BuildLoadoutResult)
        if isinstance(answer, MemoryDown):
            return answer
        return Knowledge(
            memories=answer.memories,
            tools=await self._complete_tools(answer),
            degraded=answer.shortfall,
            role=answer.role or "",
            uncovered=answer.uncovered or (),
        )

    async def store(
        self, content: str, *, session_id: str, tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> str | MemoryDown:
        """Store an episodic memory and return its memory_id. The same content in a session is stored once."""
        answer = await self._call(
            "store_memory",
            {
                "content": content,
                "kind": "episodic",
                "session_id": session_id,
                "tags": list(tags),
                "metadata": dict(metadata or {}),
            },
            StoreMemoryResult,
        )
        return answer if isinstance(answer, MemoryDown) else answer.memory_id

    async def report_outcome(
        self, tool_id: str, task: str, *, worked: bool, why: str | None = None, milliseconds: int | None = None
    ) -> MemoryDown | None:
        """Report what came of a call of a tool, if the service has a tool for that; return why it is not reported."""
        arguments = {"tool_id": tool_id, "task": task, "worked": worked, "why": why, "milliseconds": milliseconds}

        async def report(connection: ServiceConnection, client: Client) -> ReportOutcomeResult | MemoryDown:
            listed = await listed_tools(connection, client)
            if isinstance(listed, MemoryDown) or REPORT not in listed:
                return listed if isinstance(listed, MemoryDown) else MemoryDown(f"it has no {REPORT}")
            return await ask(connection, client, REPORT, arguments, ReportOutcomeResult)

        answer = await self._request(report, attempts=1)  # repeated, it might count twice
        return answer if isinstance(answer, MemoryDown) else None

    async def _discover(self, capabilities: Sequence[str] | None, **arguments: Any) -> DiscoverToolsResult | MemoryDown:
        scope = {} if capabilities is None else {"agent_capabilities": list(capabilities)}
        return await self._call("discover_tools", {**arguments, **scope, "detail": "full"}, DiscoverToolsResult)

    async def _complete_tools(self, answer: DiscoverToolsResult) -> list[KnownTool]:
        """Return the tools of an answer. Those that did not fit completely are requested again, one at a time.

        If that fails, a shortened tool is kept. One that may lack a schema is dropped: its calls could not be checked.
        """
        tools: list[KnownTool] = []
        for tool in answer.tools:
            if not answer.is_incomplete(tool):
                tools.append(tool.known)
                continue
            alone = await self._discover(None, query=tool.tool_id, limit=1)  # one tool always fits
            if isinstance(alone, MemoryDown):
                hits = [] if answer.may_lack_schemas(tool) else [tool]
            else:
                hits = [replace(hit, reason=tool.reason) for hit in alone.tools if hit.tool_id == tool.tool_id]
            tools += [hit.known for hit in hits]
        return tools

    async def _call(self, tool: str, arguments: Mapping[str, Any], shape: type[Answer]) -> Answer | MemoryDown:
        """Call a tool of the service, and once more if the connection was lost: all of them can be repeated."""
        return await self._request(lambda connection, client: ask(connection, client, tool, arguments, shape))

    async def _request(
        self,
        request: Callable[[ServiceConnection, Client], Awaitable[Answer | MemoryDown]],
        attempts: int = ATTEMPTS,
    ) -> Answer | MemoryDown:
        """Make a request on the current connection, and on a new one if that was lost; within the time limit."""
        down = MemoryDown("it is not connected")
        try:
            with anyio.fail_after(self._timeout):
                for _ in range(attempts):
                    if self._tasks is None:
                        return down
                    connection = self._current()
                    await connection.settled.wait()
                    if connection.client is None:
                        return MemoryDown(connection.reason)
                    answer = await request(connection, connection.client)
                    if not isinstance(answer, MemoryDown):
                        return answer
                    down = answer
                    if not connection.lost.is_set():
                        break
        except TimeoutError:
            return MemoryDown(f"it did not answer within {self._timeout:g} s")
        return down

    def _current(self) -> ServiceConnection:
        """Return the current connection; start a new one if there is none."""
        if self._tasks is None:
            raise RuntimeError("a memory service is used inside its `async with`")
        if self._connection is None or self._connection.lost.is_set():
            self._connection = ServiceConnection()
            self._tasks.start_soon(self._connect, self._connection)
        return self._connection

    async def _connect(self, connection: ServiceConnection) -> None:
        """Hold one connection until it is lost. It has its own task, as the task that opens a client must close it."""
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._timeout) as scope:
                async with self._client() as client:
                    scope.deadline = float("inf")
                    connection.client = client
                    connection.settled.set()
                    await connection.lost.wait()
            if scope.cancelled_caught:
                connection.reason = f"it could not be connected to within {self._timeout:g} s"
        except Exception as error:
            logger.warning("The memory service cannot be reached: %s", first_error(error))
            logger.debug("The memory service cannot be reached", exc_info=error)
        finally:
            connection.lost.set()
            connection.settled.set()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        if isinstance(self._server, Launch):
            async with Client(_stdio(self._server)) as client:
                yield client
            return
        headers = {"authorization": f"Bearer {self._token.get_secret_value()}"} if self._token else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=self._timeout, trust_env=False) as http,
            Client(streamable_http_client(self._server, http_client=http)) as client,
        ):
            yield client


def _stdio(launch: Launch) -> StdioServerParameters:
    command, args = (launch.command, launch.args) if launch.command else (sys.executable, ("-m", "memos_mcp"))
    return StdioServerParameters(command=command, args=list(args), env=dict(launch.env))
