"""The memory service (memOS.as) as the orchestrator uses it: its calls never raise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self

from pydantic import SecretStr

from memos_mcp.client.client_errors import MemosClientError
from memos_mcp.client.reconnecting_client import SECONDS, Launch, ReconnectingClient
from memos_mcp.client.server_connection import Shape
from memos_mcp.orchestrator.answers import (
    Knowledge,
    MemoriesAnswer,
    MemoryDown,
    PackAnswer,
    ReportAnswer,
    StoreAnswer,
    ToolsAnswer,
)
from memos_mcp.orchestrator.payload import KnownTool

MAX_NEEDS: Final = 8
REASON_CHARS: Final = 300
REPORT: Final = "report_outcome"


class MemoryService:
    """The service at a URL, with a bearer token if it requires one, or launched over stdio.

    Entering starts to connect without waiting; the next call replaces a lost connection.
    Every call returns within `timeout` seconds, including the time to connect.
    """

    def __init__(
        self, server: Launch | str | None = None, *, token: SecretStr | str | None = None, timeout: float = SECONDS
    ) -> None:
        self._client = ReconnectingClient(server, token=token, timeout=timeout)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    async def query(self, text: str, *, limit: int = 8, tags: Sequence[str] = ()) -> Knowledge | MemoryDown:
        """Find memories by meaning and words, best first; those with all of `tags`."""
        arguments = {"query": text, "limit": limit} | ({"tags": list(tags)} if tags else {})
        answer = await self._call("query_memory", arguments, MemoriesAnswer)
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
        answer = await self._call("build_loadout", arguments, PackAnswer)
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
            StoreAnswer,
        )
        return answer if isinstance(answer, MemoryDown) else answer.memory_id

    async def report_outcome(
        self, tool_id: str, task: str, *, worked: bool, why: str | None = None, milliseconds: int | None = None
    ) -> MemoryDown | None:
        """Report what came of a call of a tool, if the service has a tool for that; return why it is not reported."""
        arguments = {"tool_id": tool_id, "task": task, "worked": worked, "why": why, "milliseconds": milliseconds}

        try:
            if REPORT not in await self._client.tools():
                return MemoryDown(f"it has no {REPORT}")
        except MemosClientError as error:
            return _down(error)
        answer = await self._call(REPORT, arguments, ReportAnswer, repeatable=False)  # repeated, it might count twice
        return answer if isinstance(answer, MemoryDown) else None

    async def _discover(self, capabilities: Sequence[str] | None, **arguments: Any) -> ToolsAnswer | MemoryDown:
        scope = {} if capabilities is None else {"agent_capabilities": list(capabilities)}
        return await self._call("discover_tools", {**arguments, **scope, "detail": "full"}, ToolsAnswer)

    async def _complete_tools(self, answer: ToolsAnswer) -> list[KnownTool]:
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

    async def _call(
        self, tool: str, arguments: Mapping[str, Any], shape: type[Shape], *, repeatable: bool = True
    ) -> Shape | MemoryDown:
        try:
            return await self._client.call(tool, arguments, shape, repeatable=repeatable)
        except MemosClientError as error:
            return _down(error)


def _down(error: MemosClientError) -> MemoryDown:
    return MemoryDown(f"it {error.reason}"[:REASON_CHARS])
