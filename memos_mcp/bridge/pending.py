"""A session's requests without an answer, and its handshake: what is replayed to the next engine."""

import json
import re
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeGuard

RequestId = str | int

_ANSWER: Final = re.compile(rb'\{"jsonrpc":"2\.0","id":(-?\d+|"(?:[^"\\]|\\.)*"),"(result|error)":')


class PendingRequest(NamedTuple):
    """A request under way: its method, and its line if it can be sent again."""

    method: str
    line: bytes


class Handshake(NamedTuple):
    """The `initialize` request that was answered, and whether the client has confirmed the answer."""

    request_id: RequestId
    line: bytes
    confirmed: bool


class PendingRequests:
    """Tracks both directions of one session."""

    def __init__(self) -> None:
        self._open: dict[RequestId, PendingRequest] = {}
        self._confirmed_early = b""
        self.handshake: Handshake | None = None

    @property
    def under_way(self) -> bool:
        return bool(self._open)

    def record_sent(self, line: bytes) -> None:
        """Record a line of the client that was sent to the engine."""
        message = _object(line)
        method, request_id = message.get("method"), message.get("id")
        if method == "notifications/initialized":
            self._confirm(line)
        elif method == "notifications/cancelled":  # a cancelled request is never answered
            params = message.get("params")
            cancelled = params.get("requestId") if isinstance(params, dict) else None
            if is_id(cancelled):
                self._open.pop(cancelled, None)
        elif isinstance(method, str) and is_id(request_id):
            self._open[request_id] = PendingRequest(method, b"" if method == "tools/call" else line)

    def record_answer(self, line: bytes) -> None:
        """Record a line of the engine that is sent to the client."""
        request_id, succeeded = answer_in(line)
        request = self._open.pop(request_id, None) if request_id is not None else None
        if request is not None and request.method == "initialize" and succeeded and request_id is not None:
            self.handshake = Handshake(request_id, request.line, confirmed=bool(self._confirmed_early))
            self._confirmed_early = b""

    def abandon(self) -> tuple[list[bytes], list[RequestId]]:
        """Forget what is under way; return the lines to send again, and the ids of calls whose outcome is unknown."""
        resent: list[bytes] = []
        for request in self._open.values():
            resent += [request.line] if request.line else []
            if request.method == "initialize" and self._confirmed_early:
                resent.append(self._confirmed_early)
        unknown = [request_id for request_id, request in self._open.items() if not request.line]
        self._open.clear()
        self._confirmed_early = b""
        return resent, unknown

    def _confirm(self, line: bytes) -> None:
        """Record that the client has confirmed the handshake. Some clients do so before they have read its answer."""
        if self.handshake is not None:
            self.handshake = self.handshake._replace(confirmed=True)
        else:
            self._confirmed_early = line


def answer_in(line: bytes) -> tuple[RequestId | None, bool]:
    """Return the id that a line answers, if it is an answer, and whether it is a result."""
    if match := _ANSWER.match(line):
        with suppress(ValueError):
            return json.loads(match[1]), match[2] == b"result"
    message = _object(line)
    request_id = message.get("id")
    is_answer = "method" not in message and is_id(request_id)
    return (request_id if is_answer else None), "result" in message


def request_in(line: bytes) -> RequestId | None:
    """Return the id of the request in a line, if it is one."""
    message = _object(line)
    request_id = message.get("id")
    return request_id if "method" in message and is_id(request_id) else None


def is_id(value: object) -> TypeGuard[RequestId]:
    """Whether a value can be the id of a request."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def error_line(request_id: RequestId | None, code: int, message: str) -> bytes:
    """Return a JSON-RPC error as a line."""
    error = {"code": code, "message": message}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    """Return the object in a line; an empty one for a line that the engine will refuse."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
