"""What a turn of a conversation, or a chunk of a file, takes from its neighbours.

A turn alone often says "yes, next Tuesday" and no more, and a method often does not name what it is about.

An item's point is found by its neighbours' words, at less weight, and its vector leans towards theirs. So a question
still costs one search, and a memory one inference: the vectors of its neighbours are there already. On public
conversations that is as good as embedding each turn together with its neighbours (`benchmarks/README.md`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from memos_mcp.domain.index import Vector, Wording
from memos_mcp.domain.memory import NEAR_CHARS

CLOSEST: Final = 0.8
"""What the words of a neighbour right beside it would count, where its own count 1."""

HALVED_AFTER_WORDS: Final = 40.0
"""Words between a memory and the middle of a neighbour after which the neighbour counts half as much."""

LEAST: Final = 0.1
"""Neighbours that count less than this are left out: of long turns, each speaks for itself."""

MOST_CHARS: Final = NEAR_CHARS
"""Nor does a text of so many characters count, however few spaces are in it. Only a part of it might be at hand, and
that would have to be embedded for its neighbours' sake."""

LEANING: Final = 0.3
"""How much a neighbour's vector counts, as a part of what its words do."""


def neighbours(before: Sequence[str], after: Sequence[str]) -> list[Wording]:
    """Weigh the texts before and after an item, each given nearest first, by the words in between."""
    return [*_outwards(before), *_outwards(after)]


def _outwards(texts: Iterable[str]) -> Iterable[Wording]:
    between = 0
    for text in texts:
        words = len(text.split())
        weight = CLOSEST * 0.5 ** ((between + words / 2) / HALVED_AFTER_WORDS)
        if weight < LEAST or len(text) >= MOST_CHARS:
            return
        yield Wording(text, weight)
        between += words


def leaning(own: Vector, others: Iterable[tuple[Vector, float]]) -> Vector:
    """Return the vector moved towards its neighbours' by their weights; its length is the index's business."""
    total = list(own)
    for other, weight in others:
        share = LEANING * weight
        total = [value + share * theirs for value, theirs in zip(total, other, strict=True)]
    return total
