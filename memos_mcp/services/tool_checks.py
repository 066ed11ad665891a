"""Checks whether tools could be called, without calling them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import anyio

from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.tool import MCP_SCHEME, NewTool, Tool
from memos_mcp.services.tool_sources import is_same, listed_tools
from memos_mcp.tool_calling.credentials import CredentialSource
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.requests import HttpRequest
from memos_mcp.tool_calling.tool_servers import ToolLister, server_and_tool

AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class ToolCheck:
    """Why a tool could not be called now, or None."""

    tool: Tool
    problem: str | None


class ToolChecks:
    """Checks tools. `probe` returns why the host of a URL cannot be called; a host and a server are asked once each."""

    def __init__(
        self, probe: Callable[[str], Awaitable[str | None]], lister: ToolLister, credentials: CredentialSource
    ) -> None:
        self._probe = probe
        self._lister = lister
        self._credentials = credentials

    async def check(self, tools: Sequence[Tool]) -> list[ToolCheck]:
        """Return a check for each tool, in their order."""
        hosts = dict.fromkeys(_base(tool) for tool in tools if not tool.endpoint_url.startswith(MCP_SCHEME))
        servers = dict.fromkeys(_server(tool) for tool in tools if tool.endpoint_url.startswith(MCP_SCHEME))
        problems: dict[str, str | None] = {}
        listings: dict[str, Mapping[str, NewTool] | str] = {}
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def ask_host(base: str) -> None:
            async with limit:
                problems[base] = await self._probe(base)

        async def ask_server(server: str) -> None:
            async with limit:
                listings[server] = await self._listing(server)

        async with anyio.create_task_group() as tasks:
            for base in hosts:
                tasks.start_soon(ask_host, base)
            for server in servers:
                tasks.start_soon(ask_server, server)
        return [
            ToolCheck(
                tool,
                _problem_of_listed(tool, listings[_server(tool)])
                if tool.endpoint_url.startswith(MCP_SCHEME)
                else problems[_base(tool)] or self._problem_of_credential(tool),
            )
            for tool in tools
        ]

    async def _listing(self, server: str) -> Mapping[str, NewTool] | str:
        try:
            return {new.tool_id: new for new in await listed_tools(self._lister, server)}
        except Unavailable as error:
            return str(error).rstrip(".")

    def _problem_of_credential(self, tool: Tool) -> str | None:
        if tool.auth is None:
            return None
        try:
            credential = self._credentials.get(tool.auth)
            if credential is None:
                return f"Its credential {tool.auth} does not exist: memos-as credential set {tool.auth}"
            credential.applied(HttpRequest(tool.method, _base(tool), {}))
        except CallFailed as error:
            return str(error)
        return None


def _problem_of_listed(tool: Tool, listing: Mapping[str, NewTool] | str) -> str | None:
    if isinstance(listing, str):
        return listing
    listed = listing.get(tool.tool_id)
    if listed is None:
        return f"Its server no longer lists it: memos-as tools sync {tool.source}"
    return (
        None if is_same(listed, tool) else f"Its server describes it otherwise now: memos-as tools sync {tool.source}"
    )


def _base(tool: Tool) -> str:
    """Return the URL of a tool's host: the rest may hold the names of parameters."""
    parts = urlsplit(tool.endpoint_url)
    return f"{parts.scheme}://{parts.netloc}/"


def _server(tool: Tool) -> str:
    named = server_and_tool(tool.endpoint_url)
    return named[0] if named is not None else ""
