"""What the operator has set up for calls of tools: hosts, credentials and MCP servers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from memos_mcp.tool_calling import credential_file, server_file
from memos_mcp.tool_calling.allowed_hosts import AllowedHosts
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.credential_file import CredentialFile, SecretLookup
from memos_mcp.tool_calling.mcp_caller import McpCaller
from memos_mcp.tool_calling.mcp_connection import McpConnector
from memos_mcp.tool_calling.mcp_connections import ListChanged
from memos_mcp.tool_calling.server_file import ServerFile
from memos_mcp.tool_calling.tool_servers import ServerLookup

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""The longest answer of an MCP server: a list of tools may have megabytes of schemas."""

SERVER_SHARE: Final = 0.9
"""The share of the time of a call after which an MCP server is given up: whether the call was sent is then known."""


@dataclass(frozen=True, slots=True)
class ToolSetup:
    """The hosts that may be called, and the files of a data folder.

    secret: finds secrets in the environment.  environment: the variables from which servers are given some.
    seconds: the time of a call.
    """

    home: Path
    hosts: Collection[str]
    private_hosts: Collection[str]
    secret: SecretLookup
    environment: Mapping[str, str]
    seconds: float

    @property
    def credentials(self) -> CredentialFile:
        """The credentials of the data folder."""
        return CredentialFile(self.home / credential_file.FILE_NAME, self.secret)

    @property
    def servers(self) -> ServerFile:
        """The MCP servers of the data folder."""
        return ServerFile(self.home / server_file.FILE_NAME)

    @property
    def allowed_hosts(self) -> AllowedHosts:
        """The hosts that tools may be called at."""
        return AllowedHosts(self.hosts, self.private_hosts)

    def server_caller(
        self,
        servers: ServerLookup | None = None,
        *,
        stderr: int | None = DEVNULL,
        on_list_changed: ListChanged | None = None,
    ) -> McpCaller:
        """Return a context with the servers of the data folder, or others. stderr: where their commands write."""
        connector = McpConnector(
            self.allowed_hosts, self.credentials, self.environment, max_bytes=MAX_ANSWER_BYTES, stderr=stderr
        )
        return McpCaller(
            servers or self.servers.get,
            connector,
            seconds=SERVER_SHARE * self.seconds,
            on_list_changed=on_list_changed,
        )

    def caller(self, servers: McpCaller) -> ToolCaller:
        """Return what calls tools, those of these servers too."""
        return ToolCaller(
            self.hosts,
            private_hosts=self.private_hosts,
            credentials=self.credentials,
            servers=servers,
            seconds=self.seconds,
        )
