"""Admits tool calls: within the rate and the number of concurrent calls of their namespace, and within its share."""

import time
from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import Final

import anyio

from memos_mcp.domain.quotas import Quota, QuotaExceeded, Quotas
from memos_mcp.services.fair_shares import FairShares, HeldShare
from memos_mcp.services.token_buckets import Buckets

REFUSAL_SECONDS: Final = 0.25
"""How long a refusal is held back: a client that repeats at once what was refused costs a few calls a second, and not
all that the event loop has. The transports bound how many calls can wait for this."""


class AdmittedCall:
    """A call that is being served, until the end of this context."""

    __slots__ = ("_namespace", "_running", "_share")

    def __init__(self, running: Counter[str], namespace: str, share: HeldShare) -> None:
        self._running = running
        self._namespace = namespace
        self._share = share

    def __enter__(self) -> None:
        self._share.__enter__()

    def __exit__(self, *error: object) -> None:
        self._share.__exit__(*error)
        _decrease(self._running, self._namespace)


class CallLimits:
    """The limits of one engine, in memory. `seconds` is a clock that nobody sets."""

    def __init__(
        self, quotas: Quotas, shares: FairShares | None = None, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._quotas = quotas
        self._seconds = seconds
        self._buckets = Buckets()
        self._running = Counter[str]()
        self._shares = shares or FairShares(seconds=seconds)

    async def admit(self, namespace: str) -> AdmittedCall:
        """Return the context in which to serve a call of a namespace; raise `QuotaExceeded` if it exceeds a limit."""
        quota = await self._quotas.of(namespace)
        try:
            self._check_concurrency(namespace, quota)
            self._take(namespace, quota)
        except QuotaExceeded:
            await anyio.sleep(REFUSAL_SECONDS)
            raise
        self._running[namespace] += 1
        try:
            share = await self._shares.enter(namespace)
        except BaseException:
            _decrease(self._running, namespace)
            raise
        return AdmittedCall(self._running, namespace, share)

    def _check_concurrency(self, namespace: str, quota: Quota) -> None:
        most, running = quota.concurrent_calls, self._running[namespace]
        if most is not None and running >= most:
            raise QuotaExceeded(
                "concurrent_calls",
                f"The namespace has {running:,} of at most {most:,} concurrent calls. "
                "Repeat the call in 1 second, or when another one has ended.",
            )

    def _take(self, namespace: str, quota: Quota) -> None:
        a_minute = quota.calls_a_minute
        if a_minute is None:
            return
        bucket = self._buckets.refilled(namespace, a_minute, self._seconds())
        if bucket.level < 1:
            seconds = ceil(bucket.seconds_until(1, a_minute))
            raise QuotaExceeded(
                "calls_a_minute",
                f"The namespace has made {a_minute:,} of at most {a_minute:,} calls a minute. "
                f"Repeat the call in {seconds} second{'' if seconds == 1 else 's'}.",
            )
        bucket.level -= 1


def _decrease(counts: Counter[str], namespace: str) -> None:
    counts[namespace] -= 1
    if not counts[namespace]:
        del counts[namespace]
