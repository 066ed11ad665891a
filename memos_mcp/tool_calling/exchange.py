"""One exchange over HTTP: a request to a checked address, and as much of the answer as the limits allow."""

import logging
import ssl
from contextlib import aclosing
from typing import Final

import anyio
import httpx2

from memos_mcp.tool_calling.allowed_hosts import Target
from memos_mcp.tool_calling.http_answers import BodyEnd, HttpAnswer
from memos_mcp.tool_calling.outcomes import CallFailed, Effect
from memos_mcp.tool_calling.requests import HttpRequest

HEADERS: Final = {"Accept": "application/json, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "memOS.as"}

logger = logging.getLogger(__name__)

# Its debug lines hold the headers of answers, which may repeat a secret.
logging.getLogger("httpcore2").setLevel(logging.INFO)


class Exchange:
    """Sends requests on connections of their own, which share no cookies, and no proxy of the environment."""

    def __init__(self, timeout: httpx2.Timeout, max_bytes: int, trust: ssl.SSLContext | None) -> None:
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._trust = trust

    async def send(self, request: HttpRequest, target: Target, deadline: float) -> HttpAnswer:
        """Send a request to the first of the addresses that accepts the connection.

        Raise `CallFailed`, or TimeoutError if the answer has not begun at the deadline.
        """
        effect: Effect = "none" if request.safe else "unknown"
        try:
            return await self._to_any_address(request, target, deadline)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            logger.info("A tool could not be reached: %s", type(error).__name__)
            raise CallFailed("It cannot be reached", retryable=True, again=True) from error
        except httpx2.TimeoutException as error:
            again = request.repeatable
            raise CallFailed("It did not answer in time", retryable=True, again=again, effect=effect) from error
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            logger.info("A tool broke off: %s", type(error).__name__)
            again = request.repeatable
            raise CallFailed("It broke off the answer", retryable=True, again=again, effect=effect) from error

    async def _to_any_address(self, request: HttpRequest, target: Target, deadline: float) -> HttpAnswer:
        for address in target.addresses[:-1]:
            try:
                return await self._to_address(request, target.url, address, deadline)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._to_address(request, target.url, target.addresses[-1], deadline)

    async def _to_address(self, request: HttpRequest, url: httpx2.URL, address: str, deadline: float) -> HttpAnswer:
        """Send a request to this address, with the host name of the URL.

        It uses the transport alone, because a client would log the URL, in which a secret may be.
        """
        headers = httpx2.Headers({"Host": url.netloc.decode("ascii"), **HEADERS})
        headers.update(request.headers)
        sent = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=headers,
            content=request.content,
            extensions={"sni_hostname": url.raw_host.decode("ascii"), "timeout": self._timeout.as_dict()},
        )
        trusted = await self._certificates(url)
        async with httpx2.AsyncHTTPTransport(verify=trusted, trust_env=False) as transport:
            with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                response = await transport.handle_async_request(sent)
            try:
                return await self._read(response, deadline)
            finally:
                await response.aclose()

    async def _certificates(self, url: httpx2.URL) -> ssl.SSLContext:
        """Return the trusted certificates. Those of the system load slowly: once, in a thread."""
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._trust is None:
            self._trust = await anyio.to_thread.run_sync(httpx2.create_ssl_context)
        return self._trust

    async def _read(self, response: httpx2.Response, deadline: float) -> HttpAnswer:
        """Read a body up to the limits of size and time. A compressed one is not read: it could expand to any size."""
        answer = HttpAnswer(response.status_code, response.headers)
        if answer.encoding:
            return answer
        body = bytearray()
        end: BodyEnd = "complete"
        try:
            with anyio.CancelScope(deadline=deadline) as scope:
                async with aclosing(response.aiter_raw()) as parts:
                    async for part in parts:
                        body += part
                        if len(body) > self._max_bytes:
                            end = "too large"
                            break
            if scope.cancelled_caught:
                end = "too slow"
        except httpx2.TimeoutException:
            end = "too slow"
        except (httpx2.HTTPError, httpx2.StreamError):
            end = "broken off"
        return HttpAnswer(response.status_code, response.headers, bytes(body[: self._max_bytes]), end)
