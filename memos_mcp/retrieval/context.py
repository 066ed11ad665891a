"""Blends a message of a conversation, or a chunk of a file, with its neighbours.

A message alone often says "yes, next Tuesday" and no more, and a method often does not name its subject. So a point is
found by its neighbours' words, at a lower weight, and its vector is blended with theirs. A query still costs one search
and a memory one inference, because the neighbours' vectors exist already. On public conversations this is as good as
embedding each message together with its neighbours (`benchmarks/README.md`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from memos_mcp.domain.index import Vector, WeightedText
from memos_mcp.domain.scripts import count_words

REACH: Final = 2
"""The number of neighbours of a memory on each side, in its session or its file."""

MAX_WEIGHT: Final = 0.8
"""The weight of a neighbour's words directly beside a memory, where the memory's own words weigh 1."""

HALVED_AFTER_WORDS: Final = 40.0
"""Words between a memory and the middle of a neighbour after which the neighbour's weight is halved."""

MIN_WEIGHT: Final = 0.1
"""Neighbours of a lower weight are left out: long messages are self-contained."""

MAX_CHARS: Final = 2_000
"""Characters from which a neighbour is left out, however few spaces it has. Only a part of a longer text is read, and
that part would have to be embedded for its neighbours alone."""

BLEND: Final = 0.3
"""The weight of a neighbour's vector, as a fraction of the weight of its words."""


def weigh_neighbours(before: Sequence[str], after: Sequence[str]) -> list[WeightedText]:
    """Weigh the texts before and after an item, each given nearest first, by the words in between."""
    return [*_weighed(before), *_weighed(after)]


def _weighed(texts: Iterable[str]) -> Iterable[WeightedText]:
    between = 0
    for text in texts:
        words = count_words(text)
        weight = MAX_WEIGHT * 0.5 ** ((between + words / 2) / HALVED_AFTER_WORDS)
        if weight < MIN_WEIGHT or len(text) >= MAX_CHARS:
            return
        yield WeightedText(text, weight)
        between += words


def blend(own: Vector, others: Iterable[tuple[Vector, float]]) -> Vector:
    """Return the vector moved towards its neighbours' by their weights; the index normalises its length."""
    total = own.copy()
    for other, weight in others:
        total += BLEND * weight * other
    return total
