"""One connection to the server, and what is asked on it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import anyio
from mcp import Client, MCPError
from mcp.types import CallToolResult, TextContent, Tool
from pydantic import BaseModel, ValidationError

from memos_mcp.client.client_errors import CallRefused, ServerUnavailable, UnreadableAnswer

MAX_PAGES: Final = 20

_LOST: Final = frozenset({-32000, -32050})
"""JSON-RPC error codes of a closed connection, and of an engine that died during the call."""
_BROKEN: Final = "lost the connection"

Shape = TypeVar("Shape", bound=BaseModel)
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ServerConnection:
    """A connection attempt. `settled` is set once there is a client or a failure `reason`, `lost` when it is over.

    `tools` are those that the server lists, once they were asked for.
    """

    settled: anyio.Event = field(default_factory=anyio.Event)
    lost: anyio.Event = field(default_factory=anyio.Event)
    client: Client | None = None
    tools: Mapping[str, Tool] | None = None
    reason: str = "cannot be reached"

    async def opened(self) -> Client:
        """Wait for the client; raise `ServerUnavailable` when there will be none."""
        await self.settled.wait()
        if self.client is None:
            raise ServerUnavailable(self.reason)
        return self.client

    async def listed_tools(self) -> Mapping[str, Tool]:
        """Return the tools of the server by their names, asked for once per connection."""
        if self.tools is None:
            self.tools = await self._attempt("tools/list", self._every_page)
        return self.tools

    async def call(self, tool: str, arguments: Mapping[str, Any], shape: type[Shape]) -> Shape:
        """Call a tool and return its answer; raise `MemosClientError`."""

        async def call_once(client: Client) -> Shape:
            return _answer(await client.call_tool(tool, dict(arguments)), shape)

        return await self._attempt(tool, call_once)

    @staticmethod
    async def _every_page(client: Client) -> Mapping[str, Tool]:
        tools: dict[str, Tool] = {}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools |= {tool.name: tool for tool in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    async def _attempt(self, what: str, request: Callable[[Client], Awaitable[Result]]) -> Result:
        """Make a request. A connection that fails is lost; one whose server refuses or answers otherwise is not."""
        client = await self.opened()
        try:
            return await request(client)
        except CallRefused:
            raise
        except MCPError as error:
            logger.info("%s failed: %s", what, error.code)
            if error.code not in _LOST:
                raise CallRefused(error.message) from error
            self.lost.set()
            raise ServerUnavailable(_BROKEN) from error
        except (ValidationError, RuntimeError) as error:  # the SDK raises these for what is not MCP, or not as listed
            unreadable = UnreadableAnswer(error)
            logger.warning("%s failed: it %s", what, unreadable.reason)
            raise unreadable from None  # the error holds values of the answer
        except Exception as error:
            logger.warning("%s failed: %s", what, first_error(error))
            logger.debug("%s failed", what, exc_info=error)
            self.lost.set()
            raise ServerUnavailable(_BROKEN) from error


def _answer(result: CallToolResult, shape: type[Shape]) -> Shape:
    """Return the answer of a tool; raise `CallRefused`, or ValidationError if it has another shape."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if result.is_error:
        raise CallRefused(" ".join(texts))
    if result.structured_content is not None:
        return shape.model_validate(result.structured_content)
    return shape.model_validate_json(texts[0] if texts else "")


def first_error(error: BaseException) -> str:
    """Describe the first error inside the exception groups of task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
