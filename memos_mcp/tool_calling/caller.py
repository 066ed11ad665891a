"""Calls registered tools: over HTTP at allowed hosts, or at an MCP server; with checked arguments, within limits."""

import json
import ssl
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

import anyio
import httpx2

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed, Resolve, system_resolve
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.credentials import CredentialSource
from memos_mcp.tool_calling.exchange import Exchange
from memos_mcp.tool_calling.http_caller import HttpCaller
from memos_mcp.tool_calling.one_way import relaxed
from memos_mcp.tool_calling.outcomes import BadArguments, CallFailed, ToolAnswer, ToolFailure
from memos_mcp.tool_calling.pattern_guard import find_guarded_violation
from memos_mcp.tool_calling.schema_check import UnusableSchema
from memos_mcp.tool_calling.tool_servers import SCHEME

MAX_DEPTH: Final = 64


class ServerCaller(Protocol):
    """Calls the tools of MCP servers, whose endpoint_url is `mcp://SERVER/TOOL`."""

    async def call(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure: ...


class ToolCaller:
    """Calls tools at allowed hosts and known MCP servers only.

    `hosts` are exact names or addresses, with a port if it is not the scheme's (`search.example.com`,
    `tools.example.com:8443`); they are called at public addresses only. `private_hosts` may also be at loopback or
    private addresses (`127.0.0.1:8801`). `credentials` has the secrets that tools name in `auth`, `servers` calls the
    tools of MCP servers. `seconds` bounds a call with its retries and redirects, `connect_seconds` the connection,
    `max_bytes` the answer. `trust` holds the trusted certificates, by default those of the system.
    """

    def __init__(
        self,
        hosts: Collection[str] = (),
        *,
        private_hosts: Collection[str] = (),
        credentials: CredentialSource | None = None,
        servers: ServerCaller | None = None,
        connect_seconds: float = 5.0,
        seconds: float = 30.0,
        max_bytes: int = 1024 * 1024,
        trust: ssl.SSLContext | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        allowed_hosts = AllowedHosts(hosts, private_hosts, resolve)
        exchange = Exchange(httpx2.Timeout(seconds, connect=connect_seconds), max_bytes, trust)
        self._over_http = HttpCaller(allowed_hosts, exchange, credentials, seconds)
        self._servers = servers
        self._seconds = seconds

    async def call(self, tool: CalledTool, arguments: str | Mapping[str, Any]) -> ToolAnswer | ToolFailure:
        """Call a tool with arguments, or with the JSON text of an object as a model wrote it. Never raises."""
        try:
            with anyio.fail_after(self._seconds):
                given = await _checked_arguments(tool, arguments)
            if tool.endpoint_url.lower().startswith(f"{SCHEME}://"):
                return await self._at_server(tool, given)
            return await self._over_http.call(tool, given)
        except CallFailed as failure:
            what = f"{failure}." + (" Whether it was done is not known." if failure.effect == "unknown" else "")
            return ToolFailure(
                tool.tool_id, what, failure.retryable, failure.retry_after, failure.effect, failure.cause
            )
        except HostNotAllowed as refusal:
            return ToolFailure(tool.tool_id, f"{refusal}.", refusal.retryable, cause="setup")
        except TimeoutError:
            what = f"Its arguments could not be checked within {self._seconds:g} s."
            return ToolFailure(tool.tool_id, what, cause="arguments")

    async def _at_server(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer | ToolFailure:
        if self._servers is None:
            raise CallFailed("It is a tool of an MCP server, and none is set up here", cause="setup")
        try:
            with anyio.fail_after(self._seconds):
                return await self._servers.call(tool, arguments)
        except TimeoutError:
            what = f"It did not answer within {self._seconds:g} s"
            raise CallFailed(what, retryable=True, effect="unknown") from None


async def _checked_arguments(tool: CalledTool, arguments: str | Mapping[str, Any]) -> dict[str, Any]:
    given = _parsed(arguments) if isinstance(arguments, str) else dict(arguments)
    if not isinstance(given, dict):
        raise BadArguments("The arguments are not a JSON object")
    try:
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise BadArguments("The arguments contain an unpaired surrogate") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise BadArguments(f"The arguments are not JSON ({str(error)[:80]})") from None
    if _is_deeper(given, MAX_DEPTH):
        raise BadArguments(f"The arguments are nested more than {MAX_DEPTH} levels deep")
    violation = await _violation(tool, given)
    if violation is not None:
        raise BadArguments(f"The arguments do not agree with its request_schema: {violation}".rstrip("."))
    return given


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadArguments(f"The arguments are not JSON ({str(error)[:80]})") from None


async def _violation(tool: CalledTool, given: Mapping[str, Any]) -> str | None:
    """Check arguments in a thread: a large schema or a slow pattern must not block the event loop."""
    if tool.request_schema is None:
        return None
    schema = tool.request_schema
    try:
        return await anyio.to_thread.run_sync(
            lambda: find_guarded_violation(relaxed(schema, "readOnly"), given), abandon_on_cancel=True
        )
    except (UnusableSchema, RecursionError) as flaw:
        reason = flaw if isinstance(flaw, UnusableSchema) else "it is nested too deep"
        raise CallFailed(f"Its request_schema cannot be used: {reason}") from None


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether JSON is nested deeper, without recursion."""
    level: list[object] = [value]
    for _ in range(levels):
        level = [
            part
            for outer in level
            if isinstance(outer, Mapping | list)
            for part in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
    return any(isinstance(part, Mapping | list) for part in level)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
