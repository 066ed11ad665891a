"""Calls a registered tool for an agent, and keeps what came of it as experience."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from memos_mcp.domain.errors import MemosError, NotFound, ToolFailed
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import Tool, ToolFilter, ToolStore
from memos_mcp.services.experience import Experience
from memos_mcp.services.fair_shares import release_share
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure

logger = logging.getLogger(__name__)


class Caller(Protocol):
    """Makes one call; it never raises."""

    async def call(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure: ...


class ToolCalls:
    """Calls the tools of a namespace. Secrets are added by the caller, and seen by nobody else."""

    def __init__(
        self, store: ToolStore, caller: Caller, experience: Experience, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._caller = caller
        self._experience = experience
        self._clock = clock

    async def call(self, scope: Scope, tool_id: str, arguments: Mapping[str, Any], task: str | None) -> ToolAnswer:
        """Call a tool once; raise `NotFound` if there is none, `ToolFailed` with what is known of its effect."""
        tool = await self._named(scope, tool_id)
        release_share()
        began = self._clock()
        answer = await self._caller.call(called(tool), arguments)
        if task is not None and _concerns_the_tool(answer):
            await self._record(scope, task, answer, round((self._clock() - began) * 1000))
        if isinstance(answer, ToolFailure):
            raise ToolFailed(" ".join([answer.what, *_advice(answer)]))
        return answer

    async def _record(self, scope: Scope, task: str, answer: ToolAnswer | ToolFailure, milliseconds: int) -> None:
        """Keep what came of a call, which is done: that it cannot be kept does not make it fail."""
        outcome = ToolOutcome(answer.tool_id, task, isinstance(answer, ToolAnswer), answer.reason, milliseconds)
        try:
            await self._experience.record(scope, outcome)
        except MemosError as error:
            logger.warning("The outcome of a call was not kept: %s", error)

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
