"""Newline-delimited JSON-RPC as bytes: splitting it into lines of bounded length, and the ids of broken messages.

JSON-RPC allows an error with a null id, but a client whose call is answered so waits until its own timeout. An id is
therefore recovered from what a real client can send: a message that a more lenient reader accepts, and one that is
too long or nested too deeply. Text that is not JSON is answered with a null id.
"""

import json
import re
from typing import Any, Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
KEPT_BYTES: Final = 4_096
"""How much of each end of a message that is too long is kept, to find its id in."""

_MAX_DIGITS: Final = 400
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TEXTS: Final = r'"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*'
_ID: Final = r'"id"\s*:\s*(-?\d{1,18}|"(?:[^"\\]|\\.){0,255}")\s*'
_ID_IN_HEAD: Final = re.compile(rf"\s*\{{\s*(?:{_TEXTS},\s*)*{_ID}[,}}]")
_ID_AT_END: Final = re.compile(rf",\s*{_ID}(?:,\s*{_TEXTS})*\}}\s*\Z")


def length_error(ends: bytes) -> tuple[str | int | None, str]:
    """Return the id and the text of the error for a message that is too long, given the two ends of it."""
    size = f"{MAX_LINE_BYTES // 1024 // 1024} MiB"
    message = f"The message is longer than {size}. Send less in one call."
    return id_at_either_end(ends.decode("utf-8", "replace")), message


def id_at_either_end(text: str) -> str | int | None:
    """Return a request's id from the head or the end of its text. The Python and TypeScript SDKs write it last."""
    match = _ID_IN_HEAD.match(text) or _ID_AT_END.search(text[-KEPT_BYTES:])
    return None if match is None else request_id({"id": read_leniently(match[1])})


def read_leniently(text: str) -> Any:
    """Parse JSON that may hold unpaired surrogates, and numbers of any length as None; return None for other text."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else None)
    except (ValueError, RecursionError):
        return None


def request_id(message: object) -> str | int | None:
    """Return the id of a request that is otherwise invalid, if an answer can carry it."""
    if not isinstance(message, dict) or "result" in message or "error" in message:
        return None
    value = message.get("id")
    if isinstance(value, str):
        return None if _SURROGATE.search(value) else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class LineBuffer:
    """Splits a stream of bytes into its lines, without blank ones.

    Each line is returned with whether it is complete: one longer than `MAX_LINE_BYTES` is cut down to its two ends.
    """

    def __init__(self) -> None:
        self._buffered = bytearray()
        self._whole = True

    def feed(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """Return the lines that this chunk completes."""
        *parts, rest = chunk.split(b"\n")
        lines = [line for part in parts if (line := self._completed(part))]
        self._append(rest)
        return lines

    def end(self) -> list[tuple[bytes, bool]]:
        """Return the last line, if the stream ended without a line break."""
        line = self._completed(b"")
        return [line] if line else []

    def _completed(self, part: bytes) -> tuple[bytes, bool] | None:
        whole = True
        if self._buffered or len(part) > MAX_LINE_BYTES:
            self._append(part)
            part, whole = bytes(self._buffered), self._whole
            self._buffered, self._whole = bytearray(), True
        line = part.strip(b" \t\r")
        return (line, whole) if line or not whole else None

    def _append(self, part: bytes) -> None:
        if self._whole and len(self._buffered) + len(part) <= MAX_LINE_BYTES:
            self._buffered += part
            return
        self._whole = False
        head = (self._buffered[:KEPT_BYTES] + part[:KEPT_BYTES])[:KEPT_BYTES]
        self._buffered = head + (self._buffered[-KEPT_BYTES:] + part[-KEPT_BYTES:])[-KEPT_BYTES:]
