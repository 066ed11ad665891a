"""MCP servers whose tools can be called: how each is reached, and what it says of its tools. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote, unquote, urlsplit

SCHEME: Final = "mcp"


@dataclass(frozen=True, slots=True)
class ToolServer:
    """An MCP server: a command that speaks stdio, or a URL of streamable HTTP.

    env: names of variables that the command is given besides PATH, HOME and their kind. auth: a credential for the URL.
    """

    name: str
    command: Sequence[str] = ()
    env: Sequence[str] = ()
    url: str | None = None
    auth: str | None = None


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as the `tools/list` of a server describes it."""

    name: str
    title: str | None
    description: str | None
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] | None = None


class ServerDown(Exception):
    """A server cannot be used now. The message is the end of a sentence about it."""


class ToolLister(Protocol):
    """Lists the tools of MCP servers."""

    async def list_tools(self, server: str) -> Sequence[ListedTool]:
        """Return all tools of a server; raise `ServerDown` when it cannot be used."""


ServerLookup: TypeAlias = Callable[[str], ToolServer | None]
"""Returns the server of a name, or None for an unknown one."""


def endpoint_url(server: str, tool: str) -> str:
    """Return the endpoint_url of a server's tool."""
    return f"{SCHEME}://{quote(server, safe='')}/{quote(tool, safe='')}"


def server_and_tool(url: str) -> tuple[str, str] | None:
    """Return the names of the server and the tool in an endpoint_url; None for one of another form."""
    parts = urlsplit(url)
    tool = parts.path.removeprefix("/")
    if parts.scheme != SCHEME or not parts.netloc or not tool or "/" in tool or parts.query or parts.fragment:
        return None
    return unquote(parts.netloc), unquote(tool)
