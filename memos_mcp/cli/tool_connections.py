"""What commands connect to tools with: the credentials, servers and hosts of the settings."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from memos_mcp.settings import Settings
from memos_mcp.tool_calling import credential_file, server_file
from memos_mcp.tool_calling.allowed_hosts import AllowedHosts
from memos_mcp.tool_calling.credential_file import CredentialFile
from memos_mcp.tool_calling.mcp_caller import McpCaller
from memos_mcp.tool_calling.mcp_connection import McpConnector
from memos_mcp.tool_calling.server_file import ServerFile
from memos_mcp.tool_calling.tool_servers import ServerLookup

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""A list of tools may have megabytes of schemas."""


def credentials(settings: Settings) -> CredentialFile:
    """Return the credentials of the data folder."""
    return CredentialFile(settings.home / credential_file.FILE_NAME, settings.secret)


def tool_servers(settings: Settings) -> ServerFile:
    """Return the MCP servers of the data folder."""
    return ServerFile(settings.home / server_file.FILE_NAME)


def allowed_hosts(settings: Settings) -> AllowedHosts:
    """Return the hosts that tools may be called at."""
    return AllowedHosts(settings.tool_hosts, settings.tool_private_hosts)


def connected_servers(
    settings: Settings, servers: ServerLookup | None = None
) -> AbstractAsyncContextManager[McpCaller]:
    """Return a context with the servers of the data folder, or others. What their commands print is shown."""
    connector = McpConnector(
        allowed_hosts(settings), credentials(settings), settings.environment(), max_bytes=MAX_ANSWER_BYTES, stderr=None
    )
    return McpCaller(servers or tool_servers(settings).get, connector)
