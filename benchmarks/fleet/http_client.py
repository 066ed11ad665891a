"""A client of a fleet over HTTP, without an SDK: it calls tools at one engine, and at another one when that fails."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
TIMEOUT_SECONDS = 60.0
RETRYABLE_STATUS = {404, 502, 503, 504}
"""404: the session was that of another engine. The others: a proxy or an engine that stops."""

RETRYABLE_WORDS = "Repeat the call"
KIND_CHARACTERS = 80
"""How much of an error names its kind when they are counted."""


class NotRetryable(Exception):
    """An error that a client would show, because repeating the call cannot be expected to help."""


class Interrupted(Exception):
    """The engine did not answer the call, or says that it can be repeated; the message is the kind of failure."""


class HttpClient:
    """One client; `legacy` opens a session at an engine, as clients of older protocols do. Not for several threads."""

    def __init__(self, urls: Callable[[], Sequence[str]], token: str, *, first: int = 0, legacy: bool = False) -> None:
        self.retried: Counter[str] = Counter()
        self._urls = urls
        self._chosen = first
        self._legacy = legacy
        self._session: str | None = None
        self._ids = itertools.count(1)
        self._http = httpx.Client(
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            headers={
                "authorization": f"Bearer {token}",
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
            },
        )

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool once; return its answer. Raise `Interrupted` where the call may be repeated."""
        try:
            return self._call(tool, arguments)
        except (httpx.TransportError, Interrupted) as error:
            kind = str(error) if isinstance(error, Interrupted) else type(error).__name__
            self.retried[kind] += 1
            self._chosen += 1
            self._session = None
            raise Interrupted(kind) from error

    def close(self) -> None:
        self._http.close()

    def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        parameters: dict[str, Any] = {"name": tool, "arguments": arguments}
        if self._legacy:
            if self._session is None:
                self._initialize()
            headers = {"mcp-protocol-version": LEGACY, "mcp-session-id": str(self._session)}
        else:
            headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
            parameters["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        answer = self._message(self._post("tools/call", parameters, headers))
        result = answer.get("result") or {"isError": True}
        if result.get("isError"):
            text = json.dumps(answer.get("error") or result.get("content"))
            raise Interrupted(f"error {text[:KIND_CHARACTERS]}") if RETRYABLE_WORDS in text else NotRetryable(text)
        content: dict[str, Any] = result["structuredContent"]
        return content

    def _initialize(self) -> None:
        about = {"name": "benchmark", "version": "1"}
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": about}
        response = self._post("initialize", hello, {})
        self._message(response)
        self._session = response.headers["mcp-session-id"]
        headers = {"mcp-protocol-version": LEGACY, "mcp-session-id": self._session}
        self._post("notifications/initialized", None, headers)

    def _post(self, method: str, parameters: dict[str, Any] | None, headers: dict[str, str]) -> httpx.Response:
        urls = self._urls()
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if parameters is not None:
            message |= {"id": next(self._ids), "params": parameters}
        response = self._http.post(f"{urls[self._chosen % len(urls)]}/mcp", json=message, headers=headers)
        if response.status_code in RETRYABLE_STATUS:
            raise Interrupted(f"status {response.status_code}")
        if response.status_code >= 400:
            raise NotRetryable(f"status {response.status_code}: {response.text[:500]}")
        return response

    def _message(self, response: httpx.Response) -> dict[str, Any]:
        """Return the message of an answer, which is JSON or the last event of a stream."""
        if response.headers.get("content-type", "").startswith("application/json"):
            message: dict[str, Any] = response.json()
            return message
        events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
        if not events:
            raise Interrupted("a stream that ended without the answer")
        event: dict[str, Any] = json.loads(events[-1])
        return event
