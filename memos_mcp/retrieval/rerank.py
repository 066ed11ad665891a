"""A second opinion on the first candidates: a model that reads each of them together with the question."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from memos_mcp.retrieval.fusion import Ranked

RERANKED: Final = 20
"""How many of the first candidates are read.

Each costs an inference over question and text, which nothing can compute beforehand, so that an answer takes longer
with each of them; and what twenty others precede by meaning and words is seldom what was asked for. A number of its
own, not the answer's limit: every page of an answer must read the same ones, or something would come twice.
"""


class Reranker(Protocol):
    """Reads texts together with a question. Raises `RerankerUnavailable` when it cannot be loaded, or fails."""

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return, for each text, a finite number without bounds or unit: the greater, the better it answers."""
        ...


def reranked(ranked: Sequence[Ranked], scores: Sequence[float]) -> list[Ranked]:
    """Put the first `RERANKED` in the order of their scores, ties as before; what comes after keeps its place.

    The score becomes a signal. It counts as it is shown, to 4 digits: what differs by less is the noise of a batch.
    """
    read = [
        replace(hit, signals={**hit.signals, "reranker": round(score, 4)})
        for hit, score in zip(ranked[:RERANKED], scores, strict=True)
    ]
    return [*sorted(read, key=lambda hit: -hit.signals["reranker"]), *ranked[RERANKED:]]
