"""The HTTP transport of an MCP server's client: one origin, at the addresses that were checked, within a limit of size.

It adds the credential below the client, so that the client, which logs what it sends, never holds it.
"""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Self

import httpx2

from memos_mcp.tool_calling.allowed_hosts import Target
from memos_mcp.tool_calling.requests import HttpRequest

EVENTS: Final = "text/event-stream"
"""A stream of events stays open; the SDK bounds each event."""


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to a target. `authorized` returns a request with its credential.

    `reason` is why the last request failed, in words for a person, or None.
    """

    def __init__(
        self,
        target: Target,
        inner: httpx2.AsyncBaseTransport,
        authorized: Callable[[HttpRequest], HttpRequest],
        *,
        max_bytes: int,
    ) -> None:
        self._target = target
        self._inner = inner
        self._authorized = authorized
        self._max_bytes = max_bytes
        self.reason: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the first address that accepts the connection."""
        self.reason = None
        if _origin(request.url) != _origin(self._target.url):
            self.reason = "it redirects to another host, which is not followed"
            raise httpx2.UnsupportedProtocol(self.reason)
        for address in self._target.addresses:
            try:
                return self._checked(await self._inner.handle_async_request(self._readdressed(request, address)))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                self.reason = "it cannot be reached"
        raise httpx2.ConnectError("it cannot be reached")

    def _readdressed(self, request: httpx2.Request, address: str) -> httpx2.Request:
        headers = httpx2.Headers(request.headers)
        headers["accept-encoding"] = "identity"  # a compressed answer could expand to any size
        sent = self._authorized(HttpRequest(request.method, str(request.url), dict(headers)))
        return httpx2.Request(
            sent.method,
            httpx2.URL(sent.url).copy_with(host=address),
            headers=dict(sent.headers),
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
        )

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if httpx2.codes.is_error(response.status_code):
            self.reason = f"it answers with status {response.status_code}"
        if response.headers.get("content-encoding", "identity") != "identity":
            self.reason = "it answers compressed, which it was asked not to"
            response.stream = _BoundedStream(response.stream, self, 0)
        elif not response.headers.get("content-type", "").lower().startswith(EVENTS):
            response.stream = _BoundedStream(response.stream, self, self._max_bytes)
        return response

    def too_large(self) -> httpx2.StreamError:
        """Return the error for an answer that is too large, which is the reason of the failure."""
        self.reason = self.reason or f"its answer is larger than {self._max_bytes:,} bytes"
        return httpx2.StreamError(self.reason)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    """The body of an answer, up to a limit."""

    def __init__(self, stream: object, transport: PinnedTransport, max_bytes: int) -> None:
        if not isinstance(stream, httpx2.AsyncByteStream):
            raise TypeError("the body is not read asynchronously")
        self._stream = stream
        self._transport = transport
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > self._max_bytes:
                raise self._transport.too_large()
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
