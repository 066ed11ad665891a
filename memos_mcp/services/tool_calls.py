"""Calls a registered tool for an agent, and keeps what came of it as experience."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from memos_mcp.domain.errors import NotFound, ToolFailed
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import Tool, ToolFilter, ToolStore
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure


class Caller(Protocol):
    """Makes one call; it never raises."""

    async def call(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure: ...


class Recorder(Protocol):
    """Keeps the outcome of a call that served a task."""

    def __call__(
        self, scope: Scope, tool_id: str, task: str, *, worked: bool, why: str | None, milliseconds: int
    ) -> Awaitable[object]: ...


class ToolCalls:
    """Calls the tools of a namespace. Secrets are added by the caller, and seen by nobody else."""

    def __init__(
        self, store: ToolStore, caller: Caller, record: Recorder | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._caller = caller
        self._record = record
        self._clock = clock

    async def call(self, scope: Scope, tool_id: str, arguments: Mapping[str, Any], task: str | None) -> ToolAnswer:
        """Call a tool once; raise `NotFound` if there is none, `ToolFailed` with what is known of its effect."""
        tool = await self._named(scope, tool_id)
        began = self._clock()
        answer = await self._caller.call(called(tool), arguments)
        if task is not None and self._record is not None and _concerns_the_tool(answer):
            why = answer.what if isinstance(answer, ToolFailure) else answer.note
            milliseconds = round((self._clock() - began) * 1000)
            worked = isinstance(answer, ToolAnswer)
            await self._record(scope, tool_id, task, worked=worked, why=why, milliseconds=milliseconds)
        if isinstance(answer, ToolFailure):
            raise ToolFailed(" ".join([answer.what, *_advice(answer)]))
        return answer

    async def _named(self, scope: Scope, tool_id: str) -> Tool:
        for tool in await self._store.named(scope.namespace, [tool_id], ToolFilter()):
            if tool.tool_id == tool_id:
                return tool
        raise NotFound(f"No tool has the tool_id {tool_id[:80]!a}. discover_tools finds the right one.")


def called(tool: Tool) -> CalledTool:
    """Return what a call needs of a tool."""
    return CalledTool(
        tool.tool_id,
        tool.endpoint_url,
        tool.method,
        tool.request_schema,
        tool.response_schema,
        tool.auth,
        tool.annotations,
    )


def _concerns_the_tool(answer: ToolAnswer | ToolFailure) -> bool:
    """Whether the outcome says something about the tool: not if the arguments or this server's set-up were wrong."""
    return isinstance(answer, ToolAnswer) or answer.cause == "tool"


def _advice(failure: ToolFailure) -> list[str]:
    if failure.retry_after is not None:
        return [f"Repeat the call in {failure.retry_after:g} s."]
    return ["The same call may succeed later."] if failure.retryable else []
