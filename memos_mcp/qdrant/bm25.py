"""Sparse BM25 vectors, computed in the process: term weights for a passage, unit weights for a question."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from qdrant_edge import Bm25, Bm25Config, SparseVector

from memos_mcp.domain.index import ITEM_KINDS, ItemKind
from memos_mcp.retrieval.terms import split_identifier

AVERAGE_LENGTH: Final[Mapping[ItemKind, float]] = {"memory": 60.0, "tool": 30.0}
"""Words of an average passage, without stop words. A word of a longer passage counts less.

Memories: between a message of a conversation (some 25) and a passage that fills the default model's window (some 190).
Tools: with the words of their schemas, they have 11 to 44 different words in five public sets. Qdrant's default of 256
is meant for pages.
"""

CACHED_TEXTS: Final = 512
"""Texts whose words are kept: those of a message are weighed for it and for each of its neighbours."""

# Matched only at the start of a word: from each of its letters, 256 KiB of digits in one word would take 15 minutes.
_CAMEL_CASE: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z]{2}[a-z]{2})[A-Za-z0-9]*")

_CAPITAL_INSIDE: Final = re.compile(r"[A-Z](?<=[a-z0-9][A-Z])|[A-Z]{2}[a-z]{2}")
"""Is in every text that has such a word, and is searched in half the time."""


class WordVectors:
    """Computes the sparse vectors of passages and questions. A change here needs a new `FORMAT` of the index.

    English stems and stop words: other languages still match word by word. Accents are folded, because people
    omit them in questions. The tokenizer stays Qdrant's `word`: `multilingual` drops bare numbers, and an
    agent asks for error codes and ports. k and b are Qdrant's defaults, 1.2 and 0.75. It splits snake_case but not
    CamelCase, so that is done here.
    """

    def __init__(self) -> None:
        self._models = {kind: _model(AVERAGE_LENGTH[kind]) for kind in ITEM_KINDS}
        self._words = lru_cache(CACHED_TEXTS)(self._weigh)

    def passage(self, kind: ItemKind, weighted_texts: Sequence[tuple[str, float]]) -> SparseVector:
        """Return the vector of a passage: for each word the greatest weight that any of its weighted_texts gives it."""
        if len(weighted_texts) == 1 and weighted_texts[0][1] == 1.0:
            return self._models[kind].embed_document(split_camel_case(weighted_texts[0][0]))
        weights: dict[int, float] = {}
        for text, weight in weighted_texts:
            for index, value in zip(*self._words(kind, text), strict=True):
                if weight * value > weights.get(index, 0.0):
                    weights[index] = weight * value
        return SparseVector(list(weights), list(weights.values()))

    def _weigh(self, kind: ItemKind, text: str) -> tuple[list[int], list[float]]:
        vector = self._models[kind].embed_document(split_camel_case(text))
        return vector.indices, vector.values

    def question(self, text: str) -> SparseVector:
        """Return a question's words, each with the weight 1, for items of any kind."""
        return self._models["memory"].embed_query(split_camel_case(text))


def _model(average_length: float) -> Bm25:
    return Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=average_length))


def split_camel_case(text: str) -> str:
    """Return a text in which the parts of each CamelCase word follow it: `HTMLTheme` becomes `HTMLTheme HTML Theme`."""
    return _CAMEL_CASE.sub(lambda word: split_identifier(word[0]), text) if _CAPITAL_INSIDE.search(text) else text
