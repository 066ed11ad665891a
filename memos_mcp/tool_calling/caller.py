"""Calls registered tools over HTTP: only at allowed hosts, with checked arguments and answers, within limits."""

import json
import logging
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import httpx2
from httpx2 import codes

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed, Resolve, Target, system_resolve
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.schema_check import UnusableSchema, find_violation

ATTEMPTS: Final = 3
BACKOFF_SECONDS: Final = 0.2
MAX_REDIRECTS: Final = 3
SHOWN_CHARS: Final = 300

_BUSY: Final = frozenset({429, 502, 503, 504})
_REDIRECTS: Final = {"GET": frozenset({301, 302, 303, 307, 308}), "POST": frozenset({307, 308})}
"""The status codes that redirect the same request."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """The answer of a tool: JSON that matches its response_schema, or text if the tool has none."""

    tool_id: str
    value: Any


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a call failed, in words for Cortex; `retryable`: the same call may succeed later."""

    tool_id: str
    what: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx2.Headers
    body: bytes


class _Failed(Exception):
    """A call failed. `again`: it had no effect, so that it may be repeated at once."""

    def __init__(self, reason: str, *, retryable: bool = False, again: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.again = again


class ToolCaller:
    """Calls tools at allowed hosts only.

    `hosts` are exact names or addresses, with a port if it is not the scheme's (`search.example.com`,
    `tools.example.com:8443`); they are called at public addresses only. `private_hosts` may also be at loopback or
    private addresses (`127.0.0.1:8801`). `seconds` bounds a call with its retries and redirects, `connect_seconds` the
    connection, `max_bytes` the answer. `trust` holds the trusted certificates, by default those of the system.
    """

    def __init__(
        self,
        hosts: Collection[str] = (),
        *,
        private_hosts: Collection[str] = (),
        connect_seconds: float = 5.0,
        seconds: float = 30.0,
        max_bytes: int = 1024 * 1024,
        trust: ssl.SSLContext | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._allowed_hosts = AllowedHosts(hosts, private_hosts, resolve)
        self._timeout = httpx2.Timeout(seconds, connect=connect_seconds)
        self._seconds = seconds
        self._trust = trust
        self._max_bytes = max_bytes

    async def call(self, tool: CalledTool, arguments: str) -> ToolAnswer | ToolFailure:
        """Call a tool with the arguments as Cortex wrote them: the JSON text of an object. Never raises."""
        try:
            with anyio.fail_after(self._seconds):
                given = await _checked_arguments(tool, arguments)
                answer = await self._call_with_retries(tool, given)
                return ToolAnswer(tool.tool_id, await _checked_answer(tool, answer))
        except (_Failed, HostNotAllowed) as failure:
            return ToolFailure(tool.tool_id, f"{failure}.", failure.retryable)
        except TimeoutError:
            return ToolFailure(tool.tool_id, f"It did not answer within {self._seconds:g} s.", retryable=True)

    async def _call_with_retries(self, tool: CalledTool, arguments: Mapping[str, Any]) -> _Answer:
        """Make a call; repeat it with a growing delay if that is safe."""
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._call_with_redirects(tool, arguments)
            except _Failed as failure:
                if not failure.again:
                    raise
            await anyio.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        return await self._call_with_redirects(tool, arguments)

    async def _call_with_redirects(self, tool: CalledTool, arguments: Mapping[str, Any]) -> _Answer:
        """Make a call and follow redirects on the same host, at the addresses that were checked."""
        target = await self._allowed_hosts.target(tool.endpoint_url)
        method = "GET" if _wants_get(tool) else "POST"
        url = target.url
        if method == "GET":
            url = url.copy_merge_params(_query(arguments))
        for _ in range(MAX_REDIRECTS + 1):
            request = {"json": dict(arguments)} if method == "POST" else {}
            answer = await self._send(method, replace(target, url=url), request)
            if answer.status not in _REDIRECTS["GET"] or "location" not in answer.headers:
                return _checked_status(answer, again=method == "GET")
            url = _redirected(url, answer.headers["location"])
            if answer.status not in _REDIRECTS[method]:
                raise _Failed("It redirects a POST to what would be a GET, which is not followed")
        raise _Failed("It redirects in circles")

    async def _send(self, method: str, target: Target, content: Mapping[str, Any]) -> _Answer:
        """Send one request to the first of the addresses that accepts the connection."""
        for address in target.addresses[:-1]:
            try:
                return await self._exchange(method, target.url, address, content)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        try:
            return await self._exchange(method, target.url, target.addresses[-1], content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            logger.info("A tool could not be reached: %s", type(error).__name__)
            raise _Failed("It cannot be reached", retryable=True, again=True) from error
        except httpx2.TimeoutException as error:
            raise _Failed("It did not answer in time", retryable=True, again=method == "GET") from error
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            logger.info("A tool broke off: %s", type(error).__name__)
            raise _Failed("It broke off the answer", retryable=True, again=method == "GET") from error

    async def _exchange(self, method: str, url: httpx2.URL, address: str, content: Mapping[str, Any]) -> _Answer:
        """Send one request to this address, with the host name of the URL."""
        headers = {"host": url.netloc.decode("ascii"), "accept": "application/json", "accept-encoding": "identity"}
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=self._timeout, verify=await self._certificates(url)) as client,
            client.stream(
                method,
                url.copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
                **content,
            ) as response,
        ):
            return _Answer(response.status_code, response.headers, await self._read(response))

    async def _certificates(self, url: httpx2.URL) -> ssl.SSLContext:
        """Return the trusted certificates. Those of the system load slowly: once, in a thread."""
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._trust is None:
            self._trust = await anyio.to_thread.run_sync(httpx2.create_ssl_context)
        return self._trust

    async def _read(self, response: httpx2.Response) -> bytes:
        """Read the uncompressed body up to the limit: a compressed one could expand to any size."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _Failed("It answered compressed, which it was asked not to")
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > self._max_bytes:
                raise _Failed(f"Its answer is larger than {self._max_bytes:,} bytes")
        return bytes(body)


def _wants_get(tool: CalledTool) -> bool:
    return str((tool.request_schema or {}).get("x-method", "")).upper() == "GET"


def _query(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Convert arguments to query parameters: lists repeated, objects as JSON, null left out."""
    return {
        name: [_text(entry) for entry in value] if isinstance(value, list) else _text(value)
        for name, value in arguments.items()
        if value is not None
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _redirected(url: httpx2.URL, location: str) -> httpx2.URL:
    try:
        target = url.join(location)
    except httpx2.InvalidURL:
        raise _Failed("It redirects to something that is not a URL") from None
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port) or target.userinfo:
        raise _Failed("It redirects to another host, which is not followed")
    return target


def _checked_status(answer: _Answer, *, again: bool) -> _Answer:
    if codes.is_success(answer.status):
        return answer
    body = " ".join(answer.body[: SHOWN_CHARS * 4].decode(errors="replace").split())[:SHOWN_CHARS]
    busy = answer.status in _BUSY
    what = f"It answered with status {answer.status}" + (f": {body}" if body else "")
    raise _Failed(what.rstrip("."), retryable=busy or codes.is_server_error(answer.status), again=busy and again)


async def _checked_arguments(tool: CalledTool, text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _Failed(f"The arguments are not JSON ({str(error)[:80]})") from None
    if not isinstance(arguments, dict):
        raise _Failed("The arguments are not a JSON object")
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Failed("The arguments contain an unpaired surrogate") from None
    violation = await _violation(tool.request_schema, arguments, "request_schema")
    if violation is not None:
        raise _Failed(f"The arguments do not agree with its request_schema: {violation}".rstrip("."))
    return arguments


async def _checked_answer(tool: CalledTool, answer: _Answer) -> Any:
    text = answer.body.decode(errors="replace")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        if tool.response_schema is None:
            return text
        raise _Failed("Its answer is not JSON, as its response_schema says that it is") from None
    violation = await _violation(tool.response_schema, value, "response_schema")
    if violation is not None:
        raise _Failed(f"Its answer does not agree with its response_schema: {violation}".rstrip("."))
    return value


async def _violation(schema: Mapping[str, Any] | None, value: Any, name: str) -> str | None:
    """Check a value in a thread: a megabyte of JSON or a maliciously slow pattern must not block the event loop."""
    try:
        return await anyio.to_thread.run_sync(find_violation, schema, value, abandon_on_cancel=True)
    except UnusableSchema as flaw:
        raise _Failed(f"Its {name} cannot be used: {flaw}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
