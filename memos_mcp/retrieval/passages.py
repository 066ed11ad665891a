"""Cuts a text into passages that fit a model's window."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from memos_mcp.domain.index import Span

OVERLAP: Final = 0.15
"""The share of a window that the next passage repeats, so that a thought cut in two is whole in one of them."""

_LAST_PART: Final = 0.3
"""The share of a window in which a better place to cut is looked for."""

_SENTENCE_ENDS: Final = frozenset(".!?…。！？")  # noqa: RUF001 - the wide forms end sentences too
_CLOSERS: Final = "\"'”’»)]"  # noqa: RUF001 - the curly quote closes a sentence


class _Seam(IntEnum):
    """How good a place between two tokens is for a cut."""

    SHARED = 0  # both tokens are parts of one character
    INSIDE = 1
    WORD = 2
    SENTENCE = 3
    LINE = 4
    PARAGRAPH = 5


def passages(text: str, tokens: Sequence[Span], window: int) -> list[Span]:
    """Return spans of at most `window` tokens each that together cover every token of the text, in order.

    `tokens` are the places of the model's tokens in the text, without special ones. A cut is moved back to the
    nearest end of a paragraph, line, sentence or word in the last part of the window. A text without tokens
    is one span.
    """
    if len(tokens) <= window:
        return [Span(0, len(text))]
    spans: list[Span] = []
    first = 0
    while first < len(tokens):
        last = _cut(text, tokens, first, window)
        spans.append(_span(text, tokens, first, last))
        first = last if last == len(tokens) else _resume(text, tokens, last, window)
    return spans


def _cut(text: str, tokens: Sequence[Span], first: int, window: int) -> int:
    """Return the token before which the passage that starts at `first` ends."""
    if len(tokens) - first <= window:
        return len(tokens)
    latest = first + window
    earliest = max(latest - int(window * _LAST_PART), first + 1)
    return max(range(earliest, latest + 1), key=lambda at: (_seam(text, tokens, at), at))


def _resume(text: str, tokens: Sequence[Span], last: int, window: int) -> int:
    """Return the token with which the passage after this cut starts: the earliest that begins something."""
    overlap = int(window * OVERLAP)
    return max(range(last - overlap, last - overlap // 2 + 1), key=lambda at: (_seam(text, tokens, at), -at))


def _seam(text: str, tokens: Sequence[Span], at: int) -> _Seam:
    before, after = tokens[at - 1].end, tokens[at].start
    if after < before:
        return _Seam.SHARED
    gap = text[before:after]
    if "\n" in gap:
        return _Seam.PARAGRAPH if gap.count("\n") > 1 else _Seam.LINE
    tail = text[max(before - 3, 0) : before].rstrip(_CLOSERS)[-1:]
    if tail in _SENTENCE_ENDS and (gap or tail not in ".!?"):
        return _Seam.SENTENCE
    return _Seam.WORD if gap else _Seam.INSIDE


def _span(text: str, tokens: Sequence[Span], first: int, last: int) -> Span:
    """Return the place of these tokens, with the characters around them that are part of no token but visible."""
    start, end = tokens[first].start, tokens[last - 1].end
    if first == 0:
        start = min(start, len(text) - len(text.lstrip()))
    following = text[end : tokens[last].start] if last < len(tokens) else text[end:]
    return Span(start, end + len(following.rstrip()))
