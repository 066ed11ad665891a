"""Sparse BM25 vectors, computed in the process: term weights for a passage, unit weights for a question."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final
from zlib import crc32

from qdrant_edge import Bm25, Bm25Config, Language, SparseVector, StopwordsSet
from typing_extensions import Buffer

from memos_mcp.domain.index import ITEM_KINDS, ItemKind
from memos_mcp.domain.scripts import normalized, pairs_of_characters, spaced
from memos_mcp.retrieval.detection import is_english, languages_of
from memos_mcp.retrieval.terms import split_identifier

AVERAGE_LENGTH: Final[Mapping[ItemKind, float]] = {"memory": 60.0, "tool": 30.0, "task": 30.0}
"""Words of an average passage, without stop words. A word of a longer passage counts less.

Memories: between a message of a conversation (some 25) and a passage that fills the default model's window (some 190).
Tools: with the words of their schemas, they have 11 to 44 different words in five public sets. Qdrant's default of 256
is meant for pages.
"""

CACHED_TEXTS: Final = 512
"""Texts whose words are kept: those of a message are weighed for it and for each of its neighbours."""

TIE_BREAK: Final = 2.0**-10
"""The share of their weights by which passages differ, each by the checksum of its dense vector.

A lane proposes its best 40, and thousands of short texts may share one word of a question and nothing else. With equal
scores, the order in which points were written would choose among them, so that a restored or imported record would
answer otherwise. The share leaves some 10,000 different scores, and changes no strength by more than 0.002. Passages
that fit exactly equally, by their cosines too, still do.
"""

# Matched only at the start of a word: from each of its letters, 256 KiB of digits in one word would take 15 minutes.
_CAMEL_CASE: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z]{2}[a-z]{2})[A-Za-z0-9]*")

_SNAKE_CASE: Final = re.compile(r"(?<![A-Za-z0-9_])_*[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+")

_CLASSES: Final = bytes.maketrans(
    (ascii_uppercase + ascii_lowercase + digits).encode(), b"A" * 26 + b"a" * 26 + b"0" * 10
)
"""Capital, letter or digit: with these, most texts are found to have no such word in a tenth of the time."""


class WordVectors:
    """Computes the sparse vectors of passages and questions. A change here needs a new `FORMAT` of the index.

    Every text has English stems, and one in another language also that language's: a word then matches in the same
    form even if the language of a question was not recognised. Accents are folded, because people omit them. The
    tokenizer stays Qdrant's `word`: `multilingual` drops bare numbers, and an agent asks for error codes and ports.
    k and b are Qdrant's defaults, 1.2 and 0.75. It splits snake_case but not CamelCase, so that is done here. A name in
    snake_case is also one word, as one in CamelCase is: its parts are often frequent words, where the name is rare.
    Those of tools are not joined, because a question seldom names one, and their texts are short.
    """

    def __init__(self) -> None:
        self._models = {kind: _model(AVERAGE_LENGTH[kind]) for kind in ITEM_KINDS}
        self._foreign = cache(_foreign_models)
        self._words = lru_cache(CACHED_TEXTS)(self._weigh)

    def passage(self, kind: ItemKind, weighted_texts: Sequence[tuple[str, float]], share: float = 1.0) -> SparseVector:
        """Return the vector of a passage: for each word the greatest weight that any of its weighted_texts gives it.

        share: what it keeps of its weights, see `share_of`.
        """
        if len(weighted_texts) == 1:
            vector = self._passage(kind, weighted_texts[0][0])
            share *= weighted_texts[0][1]
            return SparseVector(vector.indices, [share * value for value in vector.values])
        weights: dict[int, float] = {}
        for text, weight in weighted_texts:
            for index, value in zip(*self._words(kind, text), strict=True):
                if weight * value > weights.get(index, 0.0):
                    weights[index] = weight * value
        return SparseVector(list(weights), [share * value for value in weights.values()])

    def question(self, text: str) -> SparseVector:
        """Return a question's words, each with the weight 1, for items of any kind."""
        text = join_snake_case(split_camel_case(text))
        if is_english(text):
            return self._models["memory"].embed_query(text)
        return _union([model.embed_query(part) for model, part in self._parts("memory", text)])

    def _weigh(self, kind: ItemKind, text: str) -> tuple[list[int], list[float]]:
        vector = self._passage(kind, text)
        return vector.indices, vector.values

    def _passage(self, kind: ItemKind, text: str) -> SparseVector:
        text = split_camel_case(text)
        if kind == "memory":
            text = join_snake_case(text)
        if is_english(text):
            return self._models[kind].embed_document(text)
        return _union([model.embed_document(part) for model, part in self._parts(kind, text)])

    def _parts(self, kind: ItemKind, text: str) -> Iterator[tuple[Bm25, str]]:
        """Yield what weighs a text. Its pairs are weighed apart, so that its other words do not count less for them."""
        text = spaced(normalized(text))
        models = [model for language in languages_of(text) for model in self._foreign(kind, language)]
        yield from ((model, text) for model in models or [self._models[kind]])
        if pairs := pairs_of_characters(text):
            yield self._models[kind], pairs


def share_of(vector: Buffer) -> float:
    """Return the share of its weights that a passage of this dense vector keeps: from 1 - `TIE_BREAK` to 1."""
    return 1.0 - TIE_BREAK * crc32(vector) / 2**32


def _model(average_length: float) -> Bm25:
    return Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=average_length))


def _foreign_models(kind: ItemKind, language: str) -> tuple[Bm25, Bm25]:
    """Return the model with English stems, but without the stop words of either language, and that of the language."""
    stop_words = StopwordsSet(languages={Language.English, getattr(Language, language.capitalize())})
    length = AVERAGE_LENGTH[kind]
    return (
        Bm25(Bm25Config(language="english", stopwords=stop_words, ascii_folding=True, avg_len=length)),
        Bm25(Bm25Config(language=language, avg_len=length)),
    )


def _union(vectors: Sequence[SparseVector]) -> SparseVector:
    """Return one vector with the greatest weight of each word."""
    if len(vectors) == 1:
        return vectors[0]
    weights: dict[int, float] = {}
    for vector in vectors:
        for index, value in zip(vector.indices, vector.values, strict=True):
            weights[index] = max(value, weights.get(index, 0.0))
    return SparseVector(list(weights), list(weights.values()))


def split_camel_case(text: str) -> str:
    """Return a text in which the parts of each CamelCase word follow it: `HTMLTheme` becomes `HTMLTheme HTML Theme`."""
    classes = text.encode(errors="replace").translate(_CLASSES)
    if b"aA" in classes or b"AAaa" in classes or b"0A" in classes:
        return _CAMEL_CASE.sub(lambda word: split_identifier(word[0]), text)
    return text


def join_snake_case(text: str) -> str:
    """Return a text in which the joined form of each snake_case word follows it: `max_age` becomes `max_age maxage`."""
    if "_" not in text:
        return text
    return _SNAKE_CASE.sub(lambda word: f"{word[0]} {word[0].replace('_', '')}", text)
