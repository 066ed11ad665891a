"""Opens a connection to an MCP server: launches its command, or connects to its URL at an allowed host."""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from subprocess import DEVNULL
from typing import Any, Final

import anyio
import httpx2
from anyio.to_thread import run_sync
from mcp import Client, MCPError
from mcp.client.session import MessageHandlerFnT
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types import Implementation
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from memos_mcp import __version__
from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed
from memos_mcp.tool_calling.credentials import Credential, CredentialSource
from memos_mcp.tool_calling.endpoint_probe import WHICH_HOSTS
from memos_mcp.tool_calling.mcp_answers import masked
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.pinned_transport import PinnedTransport
from memos_mcp.tool_calling.requests import HttpRequest
from memos_mcp.tool_calling.stdio_transport import AnswerTooLarge, environment_for, stdio_transport
from memos_mcp.tool_calling.tool_servers import ServerDown, ToolServer

CONNECT_SECONDS: Final = 5.0
SHOWN_CHARS: Final = 1_000

logger = logging.getLogger(__name__)

# They log messages, and answers that they cannot read: arguments and answers of tools are private.
logging.getLogger("mcp.client").setLevel(logging.CRITICAL)
logging.getLogger("mcp.shared").setLevel(logging.WARNING)


@dataclass(slots=True, eq=False)
class McpConnection:
    """A connection attempt. `settled` is set once there is a client or a `reason` why not, `lost` when it is over."""

    server: ToolServer
    settled: anyio.Event = field(default_factory=anyio.Event)
    lost: anyio.Event = field(default_factory=anyio.Event)
    client: Client | None = None
    reason: str | None = None
    masked: Callable[[Any], Any] = field(default=lambda value: value, repr=False)
    http: PinnedTransport | None = None
    may_repeat: bool = True
    calls: int = 0
    used: float = 0.0

    def closed(self, error: AnswerTooLarge | None) -> None:
        """End the connection to a process that has ended, or whose answer is too large to be asked for again."""
        self.may_repeat = error is None
        ended = "it has ended" if self.client is not None else "it ended before it answered"
        self.lose(ended if error is None else str(error))

    def lose(self, reason: str) -> None:
        """End the connection for this reason, unless it has ended before."""
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()

    @property
    def why(self) -> str:
        """Why it could not be connected to, or was lost."""
        reason = (self.http and self.http.reason) or self.reason
        return self.shown(reason) if reason else "it does not answer as an MCP server does"

    def shown(self, text: str) -> str:
        """Return the beginning of what a server wrote, without secrets."""
        masked: str = self.masked(text)
        return masked if len(masked) <= SHOWN_CHARS else f"{masked[:SHOWN_CHARS]} …"


class McpConnector:
    """Opens connections. `environment` is what variables are taken from; `stderr` is where commands write (nowhere)."""

    def __init__(
        self,
        hosts: AllowedHosts,
        credentials: CredentialSource,
        environment: Mapping[str, str],
        *,
        max_bytes: int,
        stderr: int | None = DEVNULL,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = hosts
        self._credentials = credentials
        self._environment = environment
        self._max_bytes = max_bytes
        self._stderr = stderr
        self._trust = trust

    @asynccontextmanager
    async def opened(self, connection: McpConnection, on_message: MessageHandlerFnT) -> AsyncIterator[Client]:
        """Yield the client of a connection. It is closed by the task that opened it."""
        opening = self._stdio if connection.server.url is None else self._http
        async with opening(connection, on_message) as client, anyio.create_task_group() as tasks:
            capability = client.server_capabilities.tools
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS and capability and capability.list_changed:
                tasks.start_soon(_subscribe, client)
            yield client
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _stdio(self, connection: McpConnection, on_message: MessageHandlerFnT) -> AsyncIterator[Client]:
        server = connection.server
        try:
            environment = environment_for(server.env, self._environment)
        except KeyError as missing:
            raise ServerDown(f"it needs the variable {missing.args[0]}, which is not set for memos-as") from None
        connection.masked = partial(masked, secrets={environment[name]: f"[variable {name}]" for name in server.env})
        transport = stdio_transport(
            server.command, environment, max_bytes=self._max_bytes, stderr=self._stderr, closed=connection.closed
        )
        async with Client(transport, message_handler=on_message, client_info=_OURSELVES) as client:
            yield client

    @asynccontextmanager
    async def _http(self, connection: McpConnection, on_message: MessageHandlerFnT) -> AsyncIterator[Client]:
        url = connection.server.url or ""
        target = await self._hosts.target(url)

        def authorized(request: HttpRequest) -> HttpRequest:
            current = self._credential(connection.server)  # it may have been replaced since
            if current is None:
                return request
            if target.url.scheme == "http" and not target.private:
                raise ServerDown(f"its credential {current.name} is not sent unencrypted to a public host")
            connection.masked = current.masked
            return current.applied(request)

        authorized(HttpRequest("POST", url, {}))  # raises for a host that it is not for, before anything is sent
        inner = httpx2.AsyncHTTPTransport(verify=await self._certificates(target.url), trust_env=False)
        connection.http = PinnedTransport(target, inner, authorized, max_bytes=self._max_bytes)
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)  # the caller bounds the time
        async with (
            httpx2.AsyncClient(transport=connection.http, timeout=timeout, trust_env=False) as http,
            Client(
                streamable_http_client(url, http_client=http, max_sse_event_size=self._max_bytes),
                message_handler=on_message,
                client_info=_OURSELVES,
            ) as client,
        ):
            yield client

    def _credential(self, server: ToolServer) -> Credential | None:
        if server.auth is None:
            return None
        credential = self._credentials.get(server.auth)
        if credential is None:
            raise ServerDown(f"its credential {server.auth} does not exist: memos-as credential set {server.auth}")
        return credential

    async def _certificates(self, url: httpx2.URL) -> ssl.SSLContext:
        """Return the trusted certificates. Those of the system load slowly: once, in a thread."""
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._trust is None:
            self._trust = await run_sync(httpx2.create_ssl_context)
        return self._trust


_OURSELVES: Final = Implementation(name="memos-as", version=__version__)


async def _subscribe(client: Client) -> None:
    """Ask for notifications of changes, which then reach the client's message handler."""
    try:
        async with client.listen(tools_list_changed=True) as events:
            async for _ in events:
                pass
    except (ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError) as error:
        logger.info("A tool server does not report changes of its tools: %s", type(error).__name__)


def reason_of(error: BaseException) -> str | None:
    """Return why a connection failed, or None for what only its type says."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    logger.info("A tool server cannot be used: %s", type(error).__name__)
    if isinstance(error, ServerDown):
        return str(error)
    if isinstance(error, HostNotAllowed | CallFailed):
        hint = f" ({WHICH_HOSTS})" if isinstance(error, HostNotAllowed) and not error.retryable else ""
        return f"{str(error)[0].lower()}{str(error)[1:]}{hint}"
    if isinstance(error, MCPError):
        return f"it refused: {error.message}"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be started: {error.strerror}"
    return None
