"""Keeps the answers to what clients ask again and again: the list of the tools, and what the server can do.

They depend on nothing but the rights of the caller and the request. The SDK takes 1.5 ms for a list, most of it to
validate and copy schemas that have not changed.
"""

import json
from collections import OrderedDict
from typing import Final, NamedTuple

from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.domain.scope import Right
from memos_mcp.mcp_server.calling_client import PRINCIPAL

METHODS: Final = frozenset({b"tools/list", b"server/discover"})

MAX_KEPT: Final = 64
MAX_REQUEST_BYTES: Final = 4_096
"""Of a request whose answer is kept: an answer has some 20 KiB, so that all take less than 2 MB."""

_VERSIONS: Final = frozenset(version.encode() for version in MODERN_PROTOCOL_VERSIONS)
_METHOD: Final = MCP_METHOD_HEADER.encode()
_VERSION: Final = MCP_PROTOCOL_VERSION_HEADER.encode()
_NEGOTIATION: Final = frozenset({b"accept", b"content-type"})


class _Asked(NamedTuple):
    """What an answer depends on: the headers that the SDK reads, the rights, and the request without its id."""

    headers: tuple[tuple[bytes, bytes], ...]
    rights: frozenset[Right]
    request: str


class PreparedAnswers:
    """ASGI middleware around the SDK's, for requests that are whole in one message and whose principal is known.

    Every answer is the SDK's own: the first one is kept, and sent again, with another id, to requests that are the same
    otherwise. Requests of older clients always reach the SDK.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept = OrderedDict[_Asked, bytes]()

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        headers = tuple(header for header in connection["headers"] if _is_read(header[0]))
        if connection["method"] != "POST" or not _asks_for_a_prepared_one(headers):
            await self._app(connection, receive, send)
            return
        body = await receive()
        asked, beginning = _read(headers, connection[PRINCIPAL].scope.rights, body.get("body", b""))
        kept = None if asked is None else self._kept.get(asked)
        if kept is not None:
            await _send(beginning + kept, send)
            return

        unread = [body]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        answer = _SentAnswer(send)
        await self._app(connection, replay, answer.send)
        if asked is not None and answer.body.startswith(beginning):
            self._keep(asked, bytes(answer.body[len(beginning) :]))

    def _keep(self, asked: _Asked, rest: bytes) -> None:
        self._kept[asked] = rest
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


class _SentAnswer:
    """Sends an answer on, and has its `body` if it is a whole JSON document."""

    def __init__(self, send: Send) -> None:
        self.body = bytearray()
        self._send = send
        self._is_kept = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_kept = message["status"] == 200 and (b"content-type", b"application/json") in message["headers"]  # noqa: PLR2004  # HTTP
        elif self._is_kept:
            self.body += message.get("body", b"")
        await self._send(message)


def _is_read(header: bytes) -> bool:
    return header in _NEGOTIATION or header.startswith(b"mcp-")


def _asks_for_a_prepared_one(headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    named = dict(headers)
    return named.get(_METHOD) in METHODS and named.get(_VERSION) in _VERSIONS


def _read(
    headers: tuple[tuple[bytes, bytes], ...], rights: frozenset[Right], body: bytes
) -> tuple[_Asked | None, bytes]:
    """Return what is asked for, and how its answer begins; None for what is no such request."""
    if len(body) > MAX_REQUEST_BYTES:
        return None, b""
    request = json.loads(body)
    number = request.pop("id", None)
    if type(number) not in {int, str}:
        return None, b""
    beginning = b'{"jsonrpc":"2.0","id":%s,"result":' % json.dumps(number).encode()
    return _Asked(headers, rights, json.dumps(request)), beginning


async def _send(body: bytes, send: Send) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
