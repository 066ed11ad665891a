"""Calls the tools of MCP servers, and lists them. A server is started at its first use and closed when it is idle."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import anyio
from anyio.to_thread import run_sync
from mcp import ClientSession, MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    Tool,
)
from pydantic import TypeAdapter, ValidationError

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.mcp_answers import error_text, value_of
from memos_mcp.tool_calling.mcp_connection import McpConnection, McpConnector
from memos_mcp.tool_calling.mcp_connections import ListChanged, McpConnections
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure
from memos_mcp.tool_calling.pattern_guard import find_guarded_violation
from memos_mcp.tool_calling.schema_check import UnusableSchema
from memos_mcp.tool_calling.tool_servers import ListedTool, ServerDown, ServerLookup, server_and_tool

ATTEMPTS: Final = 2
CALL_SECONDS: Final = 28.0
"""Less than a `ToolCaller` waits, so that it is known whether the call was sent."""

MAX_LISTED: Final = 10_000

_RESULT: Final[TypeAdapter[CallToolResult | InputRequiredResult]] = TypeAdapter(CallToolResult | InputRequiredResult)
_SESSION_ENDED: Final = "Session terminated"
"""What the SDK says of an HTTP server that does not know the session, and has therefore done nothing."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """Whether a call was sent to its server, after which it may have had an effect, and why the connection broke."""

    sent: bool = False
    broken: str = ""


class McpCaller:
    """Calls tools at the servers that `servers` returns, within its `async with`.

    seconds bounds a call, start_seconds the start of a server, whose connection is closed when it was not used for
    idle_seconds. on_list_changed is called while a connection is open.
    """

    def __init__(
        self,
        servers: ServerLookup,
        connector: McpConnector,
        *,
        seconds: float = CALL_SECONDS,
        start_seconds: float = 60.0,
        idle_seconds: float = 300.0,
        on_list_changed: ListChanged | None = None,
    ) -> None:
        self._seconds = seconds
        self._start_seconds = start_seconds
        self._connections = McpConnections(
            servers,
            connector,
            start_seconds=start_seconds,
            idle_seconds=idle_seconds,
            on_list_changed=on_list_changed,
        )

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.__aexit__()

    async def call(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure:
        """Call a tool with arguments that agree with its schema. Never raises."""
        named = server_and_tool(tool.endpoint_url)
        if named is None:
            return ToolFailure(tool.tool_id, "Its endpoint_url does not name a tool of an MCP server.")
        progress = _Progress()
        try:
            with anyio.fail_after(self._seconds):
                return await self._called(tool, *named, arguments, progress)
        except ServerDown as down:
            what = f"The MCP server {named[0]} cannot be used: {down}."
            return ToolFailure(tool.tool_id, what, retryable=True, cause="setup")
        except TimeoutError:
            what = f"It did not answer within {self._seconds:g} s."
            return _failure(tool, what, retryable=True, sent=progress.sent)

    async def list_tools(self, server: str) -> list[ListedTool]:
        """Return all tools of a server; raise `ServerDown` when it cannot be used."""
        try:
            with anyio.fail_after(self._start_seconds):
                async with self._connections.connected(server) as connection:
                    return [_listed(tool, connection.masked) for tool in await _all_tools(connection)]
        except TimeoutError:
            raise ServerDown(f"it did not list its tools within {self._start_seconds:g} s") from None

    async def _called(
        self, tool: CalledTool, server: str, name: str, arguments: Mapping[str, Any], progress: _Progress
    ) -> ToolAnswer | ToolFailure:
        """Make a call, and once more if the connection broke and a repetition does no harm."""
        for _ in range(ATTEMPTS):
            async with self._connections.connected(server) as connection:
                progress.sent = True
                try:
                    return await _outcome(tool, await _ask(connection, name, arguments), connection)
                except MCPError as error:
                    if not _is_broken(connection, error):
                        return _refused(tool, error, connection)
                    progress.sent = error.message != _SESSION_ENDED
                    connection.lose(error.message)
                    progress.broken = connection.why
                    if not connection.may_repeat:
                        return _failure(tool, f"It answered with what cannot be read: {progress.broken}.")
                    if progress.sent and not _is_repeatable(tool):
                        break
                except ValidationError:
                    return _failure(tool, "It answered with something that is not MCP.")
        what = f"The connection to the MCP server {server} broke before the answer came: {progress.broken}."
        return _failure(tool, what, retryable=True, sent=progress.sent)


async def _ask(
    connection: McpConnection, name: str, arguments: Mapping[str, Any]
) -> CallToolResult | InputRequiredResult:
    """Send a call. The client's own `call_tool` would discard an answer that does not match the tool's schema."""
    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))
    with _open(connection) as session:
        try:
            return await session.send_request(request, _RESULT)
        except MCPError as error:
            if error.code != HEADER_MISMATCH:
                raise
        await _list_for_headers(session, name)
        return await session.send_request(request, _RESULT)


async def _list_for_headers(session: ClientSession, name: str) -> None:
    """List the tools through the session, which learns from it which arguments to repeat as headers."""
    cursor, listed = None, 0
    while listed < MAX_LISTED:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        cursor, listed = page.next_cursor, listed + max(1, len(page.tools))
        if cursor is None or any(tool.name == name for tool in page.tools):
            return


async def _all_tools(connection: McpConnection) -> list[Tool]:
    """List the tools of all pages, also those that the session would drop."""
    tools: list[Tool] = []
    cursors: set[str | None] = set()
    cursor: str | None = None
    try:
        while cursor not in cursors and len(tools) <= MAX_LISTED:
            cursors.add(cursor)
            request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor))
            with _open(connection) as session:
                page = await session.send_request(request, ListToolsResult)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                return tools
    except MCPError as error:
        refused = f"it refused to list its tools: {connection.shown(error.message)}"
        raise ServerDown(connection.why if connection.lost.is_set() else refused) from None
    except ValidationError as error:
        path = "/".join(map(str, error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]))
        raise ServerDown(f"its list of tools is not as MCP says, at {connection.shown(path)}") from None
    raise ServerDown("its list of tools has no end")


@contextmanager
def _open(connection: McpConnection) -> Iterator[ClientSession]:
    """Yield the session of a connection; raise `MCPError` also for what the SDK raises once the connection is lost."""
    if connection.client is None:
        raise ServerDown(connection.why)
    try:
        yield connection.client.session
    except (MCPError, ValidationError):
        raise
    except Exception as error:  # noqa: BLE001  # the SDK raises what its transports raise
        logger.info("A connection to an MCP server was lost: %s", type(error).__name__)
        raise MCPError(CONNECTION_CLOSED, "the connection was lost") from None


async def _outcome(
    tool: CalledTool, result: CallToolResult | InputRequiredResult, connection: McpConnection
) -> ToolAnswer | ToolFailure:
    if isinstance(result, InputRequiredResult):
        return _failure(tool, "It asks for input while it is called, which nobody can give here.")
    if result.is_error:
        text = connection.shown(error_text(result))
        return _failure(tool, f"It reports an error: {text}")
    value, also = value_of(result)
    masked = connection.masked(value)
    notes = [note for note in (also, await _mismatch(tool, result, detailed=masked == value)) if note]
    return ToolAnswer(tool.tool_id, masked, f"done, but {'; '.join(notes)}" if notes else None)


async def _mismatch(tool: CalledTool, result: CallToolResult, *, detailed: bool) -> str | None:
    """Return how an answer differs from what the tool's schema promises; the details repeat parts of it."""
    if tool.response_schema is None:
        return None
    if result.structured_content is None and "structured_content" not in result.model_fields_set:
        return "it answered without the structured content that its response_schema promises"
    problem = await _violation(tool.response_schema, result.structured_content)
    if problem is None:
        return None
    return f"its answer does not agree with its response_schema{f': {problem}' if detailed else ''}"


async def _violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """Check a value in a thread: a large schema or a slow pattern must not block the event loop."""
    try:
        found = await run_sync(find_guarded_violation, schema, value, abandon_on_cancel=True)
    except (UnusableSchema, RecursionError) as flaw:
        return f"the schema cannot be used: {flaw if isinstance(flaw, UnusableSchema) else 'it is nested too deep'}"
    return None if found is None else found.rstrip(".")


def _refused(tool: CalledTool, error: MCPError, connection: McpConnection) -> ToolFailure:
    """Return the failure of a call that the server, or what is in front of it, answered with an error."""
    reason = connection.http.reason if connection.http is not None else None
    text = connection.shown((reason or error.message).rstrip("."))
    if error.code == PARSE_ERROR:
        return _failure(tool, f"It answered with what cannot be read: {text}.")
    return _failure(tool, f"The MCP server refused the call: {text}.")


def _is_broken(connection: McpConnection, error: MCPError) -> bool:
    return connection.lost.is_set() or error.code == CONNECTION_CLOSED or error.message == _SESSION_ENDED


def _failure(tool: CalledTool, what: str, *, retryable: bool = False, sent: bool = True) -> ToolFailure:
    """Return a failure. A call that was sent may have had its effect, unless the tool only reads."""
    if not sent or _hints(tool).get("readOnlyHint") is True:
        return ToolFailure(tool.tool_id, what, retryable)
    return ToolFailure(tool.tool_id, f"{what} Whether it was done is not known.", retryable, effect="unknown")


def _is_repeatable(tool: CalledTool) -> bool:
    return _hints(tool).get("readOnlyHint") is True or _hints(tool).get("idempotentHint") is True


def _hints(tool: CalledTool) -> Mapping[str, Any]:
    return tool.annotations or {}


def _listed(tool: Tool, masked: Callable[[Any], Any]) -> ListedTool:
    """Return a tool for the record, which no secret reaches, also when its server repeats one."""
    annotations = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return ListedTool(
        tool.name,
        masked(tool.title or annotations.get("title")),
        masked(tool.description),
        masked(tool.input_schema),
        masked(tool.output_schema),
        masked(annotations) or None,
    )
