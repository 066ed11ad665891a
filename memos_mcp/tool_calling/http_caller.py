"""Calls tools over HTTP: at allowed hosts, with their credentials, repeated only where that is safe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import anyio
import httpx2
from httpx2 import codes

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, Target
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.credentials import Credential, CredentialSource
from memos_mcp.tool_calling.exchange import Exchange
from memos_mcp.tool_calling.http_answers import HttpAnswer, answer_of, shown_body
from memos_mcp.tool_calling.outcomes import CallFailed, Cause, Effect, ToolAnswer
from memos_mcp.tool_calling.requests import HttpRequest, request_of
from memos_mcp.tool_calling.retry_after import retry_after

ATTEMPTS: Final = 3
BACKOFF_SECONDS: Final = 0.2
MAX_REDIRECTS: Final = 3
CHECK_SECONDS: Final = 10.0
"""What decoding and checking an answer may take: more than the guard of slow patterns."""

_BUSY: Final = frozenset({429, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WRONG_ARGUMENTS: Final = frozenset({400, 422})
_SAME_METHOD: Final = frozenset({307, 308})


class HttpCaller:
    """Makes calls over HTTP. `seconds` bounds a call with its retries, redirects and waits."""

    def __init__(
        self, hosts: AllowedHosts, exchange: Exchange, credentials: CredentialSource | None, seconds: float
    ) -> None:
        self._hosts = hosts
        self._exchange = exchange
        self._credentials = credentials
        self._seconds = seconds

    async def call(self, tool: CalledTool, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Make a call with checked arguments; raise `CallFailed` or `HostNotAllowed`."""
        deadline = anyio.current_time() + self._seconds
        request = request_of(tool, arguments)
        credential = self._credential(tool)
        try:
            answer = await self._call_with_retries(request, credential, deadline)
        except TimeoutError:
            what = f"It did not answer within {self._seconds:g} s"
            raise CallFailed(what, retryable=True, effect="none" if request.safe else "unknown") from None
        with anyio.move_on_after(CHECK_SECONDS):
            return await anyio.to_thread.run_sync(answer_of, tool, request, answer, credential, abandon_on_cancel=True)
        note = f"done, but its answer could not be checked within {CHECK_SECONDS:g} s and is not shown"
        return ToolAnswer(tool.tool_id, None, note, answer.status)

    def _credential(self, tool: CalledTool) -> Credential | None:
        if tool.auth is None:
            return None
        credential = self._credentials.get(tool.auth) if self._credentials is not None else None
        if credential is None:
            raise CallFailed(
                f"It needs the credential {tool.auth}, which is not set. The operator can set it: "
                f"memos-as credential set {tool.auth}",
                cause="setup",
            )
        return credential

    async def _call_with_retries(
        self, request: HttpRequest, credential: Credential | None, deadline: float
    ) -> HttpAnswer:
        """Make a call; repeat it where that is safe, after the time that the tool asks for or with a growing delay."""
        for attempt in range(1, ATTEMPTS):
            try:
                return await self._call_with_redirects(request, credential, deadline)
            except CallFailed as failure:
                wait = failure.retry_after
                if wait is None:
                    wait = BACKOFF_SECONDS * 2 ** (attempt - 1)
                if not failure.again or anyio.current_time() + wait >= deadline:
                    raise
            await anyio.sleep(wait)
        return await self._call_with_redirects(request, credential, deadline)

    async def _call_with_redirects(
        self, request: HttpRequest, credential: Credential | None, deadline: float
    ) -> HttpAnswer:
        """Make a call and follow redirects on the same host, at the addresses that were checked."""
        with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
            target = await self._hosts.target(request.url)
        for _ in range(MAX_REDIRECTS + 1):
            sent = request if credential is None else _authorised(request, credential, target)
            answer = await self._exchange.send(sent, replace(target, url=httpx2.URL(sent.url)), deadline)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return _checked_status(request, answer, credential)
            if answer.status == codes.SEE_OTHER and not request.safe:
                return answer
            request = _redirected(request, answer)
        raise CallFailed("It redirects in circles")


def _authorised(request: HttpRequest, credential: Credential, target: Target) -> HttpRequest:
    if target.url.scheme == "http" and not target.private:
        raise CallFailed(
            f"The credential {credential.name} is not sent unencrypted to a public host. Register its https URL"
        )
    return credential.applied(request)


def _redirected(request: HttpRequest, answer: HttpAnswer) -> HttpRequest:
    """Return the same request to the location of an answer; raise `CallFailed` if that is not what the tool means."""
    url = httpx2.URL(request.url)
    try:
        target = url.join(answer.headers["location"])
    except httpx2.InvalidURL:
        raise CallFailed("It redirects to something that is not a URL") from None
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port) or target.userinfo:
        raise CallFailed("It redirects to another host, which is not followed")
    if not (request.safe or answer.status in _SAME_METHOD):
        what = f"It redirects a {request.method} to what would be a GET, which is not followed"
        raise CallFailed(what, effect="unknown")
    return replace(request, url=str(target.copy_with(fragment=None)))


def _checked_status(request: HttpRequest, answer: HttpAnswer, credential: Credential | None) -> HttpAnswer:
    """Return a successful answer; raise `CallFailed` for any other, and for one that broke off and can be repeated."""
    if codes.is_success(answer.status):
        if answer.end == "broken off" and request.safe:
            raise CallFailed("It broke off the answer", retryable=True, again=True)
        return answer
    body = shown_body(answer, credential)
    what = f"It answered with status {answer.status}" + (f": {body}" if body else "")
    busy = answer.status in _BUSY
    wait = retry_after(answer.headers) if busy else None
    if wait is not None:
        what = f"{what.rstrip('.')}. It asks to wait {wait:g} s"
    effect: Effect = "none" if request.safe or codes.is_client_error(answer.status) else "unknown"
    retryable = busy or codes.is_server_error(answer.status)
    again = busy and request.repeatable
    cause: Cause = "arguments" if answer.status in _WRONG_ARGUMENTS else "tool"
    raise CallFailed(what.rstrip("."), retryable=retryable, again=again, retry_after=wait, effect=effect, cause=cause)
