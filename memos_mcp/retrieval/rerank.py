"""Reorders the first candidates by a model that reads each of them together with the question."""

from collections.abc import Sequence
from typing import Final, Protocol

from memos_mcp.retrieval.fusion import Ranked

RERANKED: Final = 20
"""The number of first candidates that the model reads.

Each costs an inference over question and text that cannot be computed beforehand, and a candidate below twenty others
is seldom the right one. The number does not depend on the limit of the answer: every page of an answer must rerank the
same candidates, or some would be repeated.
"""


class Reranker(Protocol):
    """Reads texts together with a question. Raises `RerankerUnavailable` when it cannot be loaded, or fails."""

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return, for each text, a finite number without bounds or unit: the greater, the better it answers."""


def reranked(ranked: Sequence[Ranked], scores: Sequence[float]) -> list[Ranked]:
    """Put the first `RERANKED` in the order of their scores, ties unchanged; the others keep their order.

    The score is rounded to 4 digits, as in an answer, before it is compared: smaller differences are a batch's noise.
    """
    read = [
        hit._replace(raw_scores={**hit.raw_scores, "reranker": round(score, 4)})
        for hit, score in zip(ranked[:RERANKED], scores, strict=True)
    ]
    return [*sorted(read, key=lambda hit: -hit.raw_scores["reranker"]), *ranked[RERANKED:]]
