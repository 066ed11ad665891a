"""A connection to the memory service, and what is asked on it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import anyio
from mcp import Client, MCPError
from pydantic import ValidationError

from memos_mcp.orchestrator.answers import REASON_CHARS, Answer, MemoryDown, read, unreadable

MAX_PAGES: Final = 20

_LOST: Final = frozenset({-32000, -32050})
"""JSON-RPC error codes of a closed connection, and of an engine that died during the call."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ServiceConnection:
    """A connection attempt. `settled` is set once there is a client or a failure `reason`, `lost` when it is over.

    `tools` are the names that the service lists, once they were asked for.
    """

    settled: anyio.Event = field(default_factory=anyio.Event)
    lost: anyio.Event = field(default_factory=anyio.Event)
    client: Client | None = None
    tools: frozenset[str] | None = None
    reason: str = "it cannot be reached"


async def listed_tools(connection: ServiceConnection, client: Client) -> frozenset[str] | MemoryDown:
    """Return the names of the tools of a service, asked for once per connection."""

    async def every_page() -> frozenset[str]:
        names: set[str] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            names |= {tool.name for tool in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                break
        return frozenset(names)

    if connection.tools is not None:
        return connection.tools
    listed = await _attempt(connection, "tools/list", every_page)
    connection.tools = None if isinstance(listed, MemoryDown) else listed
    return listed


async def ask(
    connection: ServiceConnection, client: Client, tool: str, arguments: Mapping[str, Any], shape: type[Answer]
) -> Answer | MemoryDown:
    """Call a tool of the service."""

    async def call() -> Answer | MemoryDown:
        return read(await client.call_tool(tool, dict(arguments)), shape)

    return await _attempt(connection, tool, call)


async def _attempt(
    connection: ServiceConnection, what: str, request: Callable[[], Awaitable[Result | MemoryDown]]
) -> Result | MemoryDown:
    """Make a request. A connection that fails is lost; one whose server refuses or answers something else is not."""
    try:
        return await request()
    except MCPError as error:
        logger.info("%s failed: %s", what, error.code)
        if error.code in _LOST:
            connection.lost.set()
            return MemoryDown("the connection to it was lost")
        return MemoryDown(f"it refused: {error.message[:REASON_CHARS]}")
    except (ValidationError, RuntimeError) as error:  # the client raises these for what is not MCP, or not as listed
        down = unreadable(error)
        logger.warning("%s failed: %s", what, down.reason)
        return down
    except Exception as error:
        logger.warning("%s failed: %s", what, first_error(error))
        logger.debug("%s failed", what, exc_info=error)
        connection.lost.set()
        return MemoryDown("the connection to it was lost")


def first_error(error: BaseException) -> str:
    """Describe the first error inside the exception groups of task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
