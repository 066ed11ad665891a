"""Reorders candidates by what their rows say beside their text: importance and, if it is asked for, age."""

from datetime import datetime, timedelta
from typing import Final

from memos_mcp.retrieval.fusion import Ranked

IMPORTANCE_WEIGHT: Final = 0.02
"""The difference in strength between the least and the most important memory, in units of cosine: it decides between
memories that fit a question about equally. `benchmarks/README.md` has its cost where importance is random."""

NEUTRAL: Final = 0.5
"""The importance that changes nothing; memories have it by default."""


def preferred(
    hit: Ranked, importance: float, occurred_at: datetime, now: datetime, half_life_days: float | None
) -> Ranked:
    """Return a candidate with the strength that it has by its importance and its age, which its signals name.

    The strength is halved once for each `half_life_days` of age; what lies in the future counts as new.
    """
    strength, signals = hit.strength, dict[str, float]()
    if importance != NEUTRAL:
        signals["importance"] = IMPORTANCE_WEIGHT * (importance - NEUTRAL)
        strength += signals["importance"]
    if half_life_days is not None:
        age = max((now - occurred_at) / timedelta(days=1), 0.0)
        signals["recency"] = 0.5 ** min(age / half_life_days, 1_000.0)
        strength *= signals["recency"]
    if not signals:
        return hit
    return hit._replace(strength=strength, raw_scores={**hit.raw_scores, **signals})


def undecided(strengths: list[float], count: int) -> int:
    """Return how many of the first candidates importance could move among the first `count`, given in order."""
    if count >= len(strengths):
        return len(strengths)
    bound = strengths[count - 1] - IMPORTANCE_WEIGHT
    return next((rank for rank in range(count, len(strengths)) if strengths[rank] < bound), len(strengths))
