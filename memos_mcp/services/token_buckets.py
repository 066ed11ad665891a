"""Token buckets by namespace: what remains of a rate."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

MAX_BUCKETS: Final = 10_000
"""A bucket that is not used for a minute is full, as a new one is. Those that are used last are kept."""


@dataclass(slots=True)
class Bucket:
    """What a namespace may still use, at a time in seconds. It holds what one minute allows; a debt is negative."""

    level: float
    at: float

    def refill(self, a_minute: float, now: float) -> None:
        """Add what was gained since the last time."""
        self.level = min(a_minute, self.level + (now - self.at) * a_minute / 60)
        self.at = now

    def seconds_until(self, level: float, a_minute: float) -> float:
        """Return after how many seconds the bucket has this level."""
        return max(0.0, level - self.level) * 60 / a_minute


class Buckets:
    """The buckets of all namespaces, of a bounded number."""

    def __init__(self) -> None:
        self._buckets = OrderedDict[str, Bucket]()

    def refilled(self, namespace: str, a_minute: float, now: float) -> Bucket:
        """Return the bucket of a namespace at this time."""
        bucket = self._buckets.pop(namespace, None) or Bucket(a_minute, now)
        self._buckets[namespace] = bucket
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        bucket.refill(a_minute, now)
        return bucket
