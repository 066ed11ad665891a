"""Newline-delimited JSON-RPC as bytes: where lines end, how long they may be, whose request a broken one was."""

import json
import re
from typing import Any, Final

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
KEPT_BYTES: Final = 4_096
"""How much of each end of a message that is too long is kept, to find its id in."""

_MAX_DIGITS: Final = 400
_MEMBER: Final = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.){0,64})"\s*:\s*')
_ID_AT_THE_END: Final = re.compile(
    r'[{,]\s*"id"\s*:\s*(-?\d{1,18}|"(?:[^"\\]|\\.){0,255}")\s*'
    r'(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*)*\}\s*\Z',
)


def refused_length(ends: bytes) -> tuple[str | int | None, str]:
    """Return the id and the text with which to refuse a message of which only these ends were kept."""
    size = f"{MAX_LINE_BYTES // 1024 // 1024} MiB"
    request_id = recovered_id(ends.decode("utf-8", "replace"), balanced=True)
    return request_id, f"The message is longer than {size}. Send less in one call."


def recovered_id(text: str, *, balanced: bool) -> str | int | None:
    """Return the id of the request that a broken line was meant to be, if it is beyond doubt.

    In a line whose braces are not `balanced`, an id at the end may be that of an inner object.
    """
    document = read_leniently(text)
    if document is not None:
        is_answer = not isinstance(document, dict) or "result" in document or "error" in document
        return None if is_answer else _usable_id(document.get("id"))
    found = _leading_members(text).get("id")
    if found is None and balanced and (match := _ID_AT_THE_END.search(text[-KEPT_BYTES:])):
        found = read_leniently(match[1])
    return _usable_id(found)


def read_leniently(text: str) -> Any:
    """Read JSON more leniently than messages are: half characters and endless numbers pass. None for what is none."""
    try:
        return json.loads(text, parse_int=_short_int)
    except (ValueError, RecursionError):
        return None


class LineBuffer:
    """A stream of bytes that comes in chunks, as the lines in it that are not blank.

    Each line comes with whether it is whole: of one that is longer than `MAX_LINE_BYTES`, only its two ends are.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._whole = True

    def feed(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """Return the lines that this chunk completes."""
        *parts, rest = chunk.split(b"\n")
        lines = [line for part in parts if (line := self._completed(part))]
        self._hold(rest)
        return lines

    def end(self) -> list[tuple[bytes, bool]]:
        """Return the last line, if the stream ended without a line break."""
        line = self._completed(b"")
        return [line] if line else []

    def _completed(self, part: bytes) -> tuple[bytes, bool] | None:
        whole = True
        if self._held or len(part) > MAX_LINE_BYTES:
            self._hold(part)
            part, whole = bytes(self._held), self._whole
            self._held, self._whole = bytearray(), True
        line = part.strip(b" \t\r")
        return (line, whole) if line or not whole else None

    def _hold(self, part: bytes) -> None:
        if self._whole and len(self._held) + len(part) <= MAX_LINE_BYTES:
            self._held += part
            return
        self._whole = False
        head = (self._held[:KEPT_BYTES] + part[:KEPT_BYTES])[:KEPT_BYTES]
        self._held = head + (self._held[-KEPT_BYTES:] + part[-KEPT_BYTES:])[-KEPT_BYTES:]


def _short_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _leading_members(text: str) -> dict[str, Any]:
    """Return the members of an object up to the first that cannot be read."""
    members: dict[str, Any] = {}
    decoder = json.JSONDecoder(parse_int=_short_int)
    place = 0
    while match := _MEMBER.match(text, place):
        try:
            members[match[1]], place = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            break
    return members


def _usable_id(value: object) -> str | int | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, str) and not value.isascii() and value != value.encode("utf-8", "replace").decode():
        return None
    return value
