"""Sparse BM25 vectors, made in the process: term weights of a passage, unit weights of a question."""

from typing import Final

from qdrant_edge import Bm25, Bm25Config

AVERAGE_LENGTH: Final = 60.0
"""Words of an average passage, after which longer ones count less: between a turn of a conversation (some 25) and a
passage that fills the default model's window (some 190). Qdrant's default of 256 is meant for pages."""


def bm25() -> Bm25:
    """Return the model that makes all sparse vectors; a change here needs a new `FORMAT` of the index.

    English stems and stop words: other languages still match word by word. Accents are folded, because people
    leave them out of questions. The tokenizer stays Qdrant's `word`: `multilingual` drops bare numbers, and an
    agent asks for error codes and ports. k and b are Qdrant's defaults, 1.2 and 0.75.
    """
    return Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=AVERAGE_LENGTH))
