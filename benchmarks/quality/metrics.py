"""Metrics of a ranking, from 0 to 1. `gold`: the right ids of a question; `ranked`: the ids of the answer, best first.

R@k: the gold among the first k, divided by all gold.  hit@k: 1 if any gold is among the first k.
nDCG@10: each gold at rank r among the first 10 gains 1 / log2(r + 1); the sum is divided by that of the best order.
MRR@10: 1 / r of the first gold among the first 10, else 0.
All are averaged over questions. An empty answer counts as 0.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence

DEPTH = 10
NAMES = ("R@1", "R@5", "R@10", "hit@1", "hit@5", "nDCG@10", "MRR@10")

DEFINITIONS = """percent, means over questions; gold: the right ids of a question
R@k gold in the first k / gold; hit@k any gold in the first k; nDCG@10 gains 1/log2(rank+1); MRR@10 1/rank of the first
"""


def measure(ranked: Sequence[str], gold: Collection[str]) -> dict[str, float]:
    """Return each figure of one answer by name."""
    ranks = [rank for rank, item in enumerate(ranked[:DEPTH], start=1) if item in gold]
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(DEPTH, len(gold)) + 1))
    figures = {f"R@{k}": sum(rank <= k for rank in ranks) / len(gold) for k in (1, 5, 10)}
    figures |= {f"hit@{k}": float(any(rank <= k for rank in ranks)) for k in (1, 5)}
    figures["nDCG@10"] = sum(1 / math.log2(rank + 1) for rank in ranks) / best
    figures["MRR@10"] = 1 / ranks[0] if ranks else 0.0
    return figures


def means(answers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over at least one answer."""
    measured = list(answers)
    return {name: sum(figures[name] for figures in measured) / len(measured) for name in NAMES}


def separation(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Return the area under the ROC curve: the share of pairs with the greater value first (a tie counts half)."""
    ordered = sorted(lower)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in higher)
    return wins / (2 * len(higher) * len(lower))
