"""Cuts a text into passages that fit a model's window."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from memos_mcp.domain.index import Span

OVERLAP: Final = 0.15
"""The share of a window that the next passage repeats, so that a sentence cut in two is whole in one of them."""

_LAST_PART: Final = 0.3
"""The share of a window in which the best boundary for a cut is chosen."""

_SENTENCE_ENDS: Final = frozenset(".!?…。！？")  # noqa: RUF001 - the wide forms end sentences too
_CLOSERS: Final = "\"'”’»)]"  # noqa: RUF001 - the curly quote closes a sentence


class _Boundary(IntEnum):
    """Boundaries between two tokens, from the worst to the best one for a cut."""

    IN_CHARACTER = 0  # both tokens are parts of one character
    IN_WORD = 1
    WORD = 2
    SENTENCE = 3
    LINE = 4
    PARAGRAPH = 5


def passages(text: str, tokens: Sequence[Span], window: int) -> list[Span]:
    """Return spans of at most `window` tokens each that together cover every token of the text, in order.

    `tokens` are the spans of the model's tokens in the text, without special ones. A cut is moved back to the
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
    return max(range(earliest, latest + 1), key=lambda index: (_boundary(text, tokens, index), index))


def _resume(text: str, tokens: Sequence[Span], last: int, window: int) -> int:
    """Return the first token of the passage after this cut: the earliest one after the best boundary."""
    overlap = int(window * OVERLAP)
    return max(
        range(last - overlap, last - overlap // 2 + 1), key=lambda index: (_boundary(text, tokens, index), -index)
    )


def _boundary(text: str, tokens: Sequence[Span], index: int) -> _Boundary:
    before, after = tokens[index - 1].end, tokens[index].start
    if after < before:
        return _Boundary.IN_CHARACTER
    gap = text[before:after]
    if "\n" in gap:
        return _Boundary.PARAGRAPH if gap.count("\n") > 1 else _Boundary.LINE
    tail = text[max(before - 3, 0) : before].rstrip(_CLOSERS)[-1:]
    if tail in _SENTENCE_ENDS and (gap or tail not in ".!?"):
        return _Boundary.SENTENCE
    return _Boundary.WORD if gap else _Boundary.IN_WORD


def _span(text: str, tokens: Sequence[Span], first: int, last: int) -> Span:
    """Return the span of these tokens, with the visible characters around them that are part of no token."""
    start, end = tokens[first].start, tokens[last - 1].end
    if first == 0:
        start = min(start, len(text) - len(text.lstrip()))
    following = text[end : tokens[last].start] if last < len(tokens) else text[end:]
    return Span(start, end + len(following.rstrip()))
