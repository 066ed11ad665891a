"""Calls registered tools over HTTP: checked before and after, only where it was allowed, and bounded in every way."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from memos_mcp.orchestrator.payload import KnownTool


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool answered: JSON, which agrees with its response_schema; or text, if it has none."""

    tool_id: str
    value: Any


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a call came to nothing, in words for Cortex; `retryable`: the same call may succeed later."""

    tool_id: str
    what: str
    retryable: bool = False


class ToolCaller:
    """Calls tools at the hosts that are allowed, and nowhere else.

    `hosts` are exact names or addresses, with a port if it is not the scheme's (`search.example.com`,
    `tools.example.com:8443`); they are called at public addresses only. `private_hosts` may also be loopback or private
    addresses (`127.0.0.1:8801`). `seconds` bounds a call with its retries and redirects, `connect_seconds` the
    connection, `max_bytes` the answer.
    """

    def __init__(
        self,
        hosts: Collection[str] = (),
        *,
        private_hosts: Collection[str] = (),
        connect_seconds: float = 5.0,
        seconds: float = 30.0,
        max_bytes: int = 1024 * 1024,
    ) -> None:
        raise NotImplementedError

    async def call(self, tool: KnownTool, arguments: str) -> ToolAnswer | ToolFailure:
        """Call a tool with arguments as Cortex wrote them: the JSON text of an object. Never raises."""
        raise NotImplementedError
