"""Reads a JSON file element by element, so that an export of any size needs the memory of one conversation.

A file of 200 MB that `json.load` expands to 0.8 GB is read so with 20 MB. The parser is Python's own: the C parser of
ijson replaces an unpaired surrogate by a question mark, or gives the rest of the file up because of one.
"""

import codecs
import json
import re
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from memos_mcp.domain.errors import Invalid

READ_BYTES: Final = 256 * 1024
MAX_VALUE_CHARS: Final = 256 * 1024 * 1024
"""The largest element: more than any conversation has, and what a file that is no JSON may take."""

_LONGEST_TOKEN: Final = len("-Infinity")
_AFTER_VALUE: Final = frozenset(" \t\n\r,:]}")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


class Element(NamedTuple):
    """An element of a list, which is under a key of an object, or all of the file (`key` is ""), counted from 1."""

    key: str
    number: int
    value: object


def elements(stream: BinaryIO, *keys: str) -> Iterator[Element]:
    """Yield the elements of the list that a file is, or of the lists that its object has under these keys.

    Raise `Invalid` where it is no JSON, and when there is no such list. Bytes that are not UTF-8 become unpaired
    surrogates, so that only the element that holds them is refused.
    """
    text = _Text(stream)
    if text.take("[{", "a list or an object") == "[":
        yield from _list(text, "")
    elif not (yield from _object(text, keys)):
        raise Invalid(f"This is an object without any of these lists: {', '.join(keys)}.")
    text.end()


def records(stream: BinaryIO) -> Iterator[Element]:
    """Yield the elements of the list that a file is, or the only value that it holds."""
    text = _Text(stream)
    if text.peek() == "[":
        text.take("[", "a list")
        yield from _list(text, "")
    else:
        yield Element("", 1, text.value())
    text.end()


def _object(text: "_Text", keys: Sequence[str]) -> Generator[Element, None, bool]:
    """Yield the elements of the lists under these keys; return whether there is one."""
    found, more = False, text.peek() != "}"
    while more:
        key = text.value()
        if not isinstance(key, str):
            raise Invalid(f"This is not JSON: a name is expected before {text.position}.")
        text.take(":", "a colon")
        if key in keys and text.peek() == "[":
            found = True
            text.take("[", "a list")
            yield from _list(text, key)
        else:
            text.value()
        more = text.take(",}", "a comma or the end of the object") == ","
    return found


def _list(text: "_Text", key: str) -> Iterator[Element]:
    if text.peek() == "]":
        text.take("]", "the end of the list")
        return
    number, more = 1, True
    while more:
        yield Element(key, number, text.value())
        number, more = number + 1, text.take(",]", "a comma or the end of the list") == ","


class _Text:
    """A window on a JSON text, which holds what is not parsed yet."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._window = ""
        self._at = self._before = 0
        self._ended = False

    @property
    def position(self) -> str:
        """The position in the text, for a message."""
        return f"character {self._before + self._at + 1:,}"

    def peek(self) -> str:
        """Return the next character that is no white space, or an empty text at the end."""
        while True:
            space = _SPACE.match(self._window, self._at)
            self._at = self._at if space is None else space.end()
            if self._at < len(self._window):
                return self._window[self._at]
            if self._ended:
                return ""
            self._read_more()

    def take(self, accepted: str, expected: str) -> str:
        """Pass over the next character, which must be one of these."""
        found = self.peek()
        if not found or found not in accepted:
            raise Invalid(f"This is not JSON: {expected} is expected at {self.position}.")
        self._at += 1
        return found

    def end(self) -> None:
        """Raise `Invalid` unless nothing follows."""
        if self.peek():
            raise Invalid(f"This is not JSON: something follows its end, at {self.position}.")

    def value(self) -> object:
        """Return the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if self._ended or not self._may_continue(error):
                    position = f"character {self._before + error.pos + 1:,}"
                    raise Invalid(f"This is not JSON: {error.msg} at {position}.") from None
            except (ValueError, RecursionError):
                reason = "a number of too many digits, or is nested too deep"
                raise Invalid(f"The value at {self.position} holds {reason}.") from None
            else:
                if self._ended or self._is_complete(end):
                    self._at = end
                    return value
            self._read_more()

    def _may_continue(self, error: json.JSONDecodeError) -> bool:
        """Whether the error may be that the window ends within a value."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._window) - _LONGEST_TOKEN

    def _is_complete(self, end: int) -> bool:
        """Whether a value that ends here may not continue, as the number 1 does when `.5` or `e9` is read next."""
        return self._window[end : end + 1] in _AFTER_VALUE or len(self._window) - end > _LONGEST_TOKEN

    def _read_more(self) -> None:
        """Extend the window; it at least doubles, so that a long value is parsed a few times only."""
        pending = len(self._window) - self._at
        if pending > MAX_VALUE_CHARS:
            raise Invalid(f"The value at {self.position} has more than {MAX_VALUE_CHARS:,} characters.")
        data = self._stream.read(max(READ_BYTES, pending))
        self._ended = not data
        self._before += self._at
        self._window = self._window[self._at :] + self._decoder.decode(data, final=self._ended)
        self._at = 0
