"""Composes what calls registered tools."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from memos_mcp.domain.tool import ToolStore
from memos_mcp.services.experience import Experience
from memos_mcp.services.tool_calls import ToolCalls
from memos_mcp.services.tool_sources import ToolSources
from memos_mcp.settings import Settings

if TYPE_CHECKING:  # it imports the client of the SDK, which takes long, and only those who call tools need it
    from memos_mcp.tool_calling.tool_setup import ToolSetup


def tool_setup(settings: Settings) -> "ToolSetup":
    """Return what the operator has set up for calls of tools."""
    from memos_mcp.tool_calling.tool_setup import ToolSetup

    return ToolSetup(
        settings.home,
        settings.tool_hosts,
        settings.tool_private_hosts,
        settings.secret,
        settings.environment(),
        settings.tool_seconds,
    )


def tool_calls_of(
    settings: Settings, tools: ToolStore, sources: ToolSources, experience: Experience
) -> tuple[ToolCalls, AbstractAsyncContextManager[object]] | tuple[None, None]:
    """Return what calls tools, and the MCP servers among them, if the settings allow calls.

    When the tools of a server change, the record follows.
    """
    if not settings.calls_tools:
        return None, None

    async def follow(server: str) -> None:
        await sources.sync_everywhere(servers, server)

    setup = tool_setup(settings)
    servers = setup.server_caller(on_list_changed=follow)
    return ToolCalls(tools, setup.caller(servers), experience), servers
