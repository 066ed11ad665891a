"""Calls a tool of this server for a prompt or a resource, with the rights, limits and records of any other call."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from mcp import MCPError, types
from mcp.server import ServerRequestContext

ToolCaller: TypeAlias = Callable[[ServerRequestContext[Any], types.CallToolRequestParams], Awaitable[Mapping[str, Any]]]
"""Answers `tools/call`."""


async def result_of(
    call: ToolCaller, context: ServerRequestContext[Any], tool: str, arguments: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the structured result of a tool; raise `MCPError` with its message when it fails."""
    answer = await call(context, types.CallToolRequestParams(name=tool, arguments=dict(arguments)))
    if answer["isError"]:
        raise MCPError(types.INVALID_PARAMS, answer["content"][0]["text"])
    result: Mapping[str, Any] = answer["structuredContent"]
    return result
