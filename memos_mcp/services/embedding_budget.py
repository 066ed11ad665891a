"""The time that the model may spend on the items of a namespace."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from memos_mcp.domain.quotas import Quotas
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.services.token_buckets import Buckets

MAX_WAIT: Final = timedelta(minutes=1)
"""After so long a greater quota helps a namespace that is deep in debt."""


class EmbeddingBudget:
    """The budget of each namespace, in this engine. A batch that takes more than the rest of it makes a debt.

    `seconds` is a clock that nobody sets.
    """

    def __init__(
        self,
        quotas: Quotas,
        telemetry: Telemetry = NO_TELEMETRY,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quotas = quotas
        self._telemetry = telemetry
        self._seconds = seconds
        self._buckets = Buckets()
        self._exhausted = set[str]()

    async def charge(self, used: Mapping[str, float]) -> None:
        """Charge these seconds to the namespaces."""
        for namespace, seconds in used.items():
            a_minute = (await self._quotas.of(namespace)).embedding_seconds
            if a_minute is not None:
                bucket = self._buckets.refilled(namespace, a_minute, self._seconds())
                bucket.level -= seconds
                if bucket.level <= 0:
                    self._exhausted.add(namespace)

    async def exhausted(self) -> dict[str, timedelta]:
        """Return the namespaces whose budget is used up, each with how long that lasts."""
        if not self._exhausted:
            return {}
        waits = dict[str, timedelta]()
        for namespace in list(self._exhausted):
            a_minute = (await self._quotas.of(namespace)).embedding_seconds
            level = 1.0 if a_minute is None else self._buckets.refilled(namespace, a_minute, self._seconds()).level
            if a_minute is None or level > 0:
                self._exhausted.discard(namespace)
            else:
                waits[namespace] = min(MAX_WAIT, timedelta(seconds=1 - level * 60 / a_minute))
        return waits

    def deferred(self, items: int) -> None:
        """Count items that wait because of this."""
        self._telemetry.quota_exceeded("embedding_seconds", items)
