"""Judges whether candidates meet a need, by their strengths alone: a reranker or experience cannot make them sure.

For memories it asks whether any is near. For tools it can only confirm: true where the best stands so far above all
others that it was right in at least 9 of 10 such answers on each public set that has enough of them. Nothing that was
tried finds with that reliability that no tool fits. `benchmarks/confidence.py` has the check, and
`benchmarks/README.md` its results.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from memos_mcp.domain.index import ItemKind
from memos_mcp.retrieval.fusion import Ranked

IS_NEAR: Final = 0.45
"""The cosine that a memory must reach for an answer to be confident: 99 % of the questions about the stored
conversation reach it, and 12 % of those about another one (LoCoMo, all-MiniLM-L6-v2)."""

FIELD: Final = 50
"""The number of best candidates that are compared. Where there are fewer, unrelated tools of strength 0 take their
positions: a small toolbox is no evidence that its best tool fits."""

SHARPNESS: Final = 8.0
"""The sharpness of the comparison: of two candidates, one that is stronger by 0.1 has 2.2 times the share. From 6 to 10
the same precision is reached with about as many answers; at 20 with half as many."""

SURE_SHARE: Final = 0.99
"""The share of the field from which the best tool is called right. Of the answers that reach it, the first tool was
right in 305 of 311, and in 93 % or more on each of the six sets with ten such answers (all-MiniLM-L6-v2; half of the
questions asked with their right tools removed). At 0.98 two sets have 87 to 90 %."""


def is_near(ranked: Sequence[Ranked]) -> bool:
    """Return whether any memory is near in meaning. Many may fit equally, so that none needs to stand out."""
    return any(hit.raw_scores.get("dense", 0.0) >= IS_NEAR for hit in ranked)


def is_sure(ranked: Sequence[Ranked]) -> bool | None:
    """Return True if the best tool is almost certainly right, else None; never False."""
    return True if share_of_best([hit.strength for hit in ranked]) >= SURE_SHARE else None


def share_of_best(strengths: Sequence[float]) -> float:
    """Return the share (0..1) of the first of these strengths, best first, in the softmax of the field; 0 for none."""
    if not strengths:
        return 0.0
    best, *others = strengths[:FIELD]
    field = [*others, *[0.0] * (FIELD - 1 - len(others))]
    return 1.0 / (1.0 + sum(math.exp(min(SHARPNESS * (other - best), 700.0)) for other in field))


CONFIDENT: Final[Mapping[ItemKind, Callable[[Sequence[Ranked]], bool | None]]] = {"memory": is_near, "tool": is_sure}
"""What judges the candidates of each kind, best first; None means unknown."""
