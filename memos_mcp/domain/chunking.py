"""Cuts a text into passages that fit a model's window."""

from collections.abc import Sequence
from typing import Final

from memos_mcp.domain.index import Span

OVERLAP: Final = 0.15
"""The share of a window that the next passage repeats, so that a thought cut in two is whole in one of them."""


def passages(text: str, tokens: Sequence[Span], window: int) -> list[Span]:
    """Return spans of at most `window` tokens each that together cover every token of the text, in order.

    `tokens` are the places of the model's tokens in the text, without special ones. A cut is moved back to the
    nearest end of a paragraph, line, sentence or word in the last part of the window. A text without tokens
    is one span.
    """
    raise NotImplementedError
