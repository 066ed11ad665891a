"""The quotas in force: those that the record has for single namespaces, and those of the settings for the others."""

import time
from collections.abc import Callable, Mapping
from typing import Final

import anyio

from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.quotas import Quota, QuotaStore

KEPT_SECONDS: Final = 0.5
"""How long the quotas are not read again: a change holds within a second in every engine that serves calls."""


class QuotaBook:
    """The `Quotas` port. Those of all namespaces are read at once: there are few, and most namespaces have none.

    No call waits for that but the first one: `keep` reads them again behind the calls. `everywhere` is the quota of the
    settings, `seconds` a clock that nobody sets.
    """

    def __init__(self, store: QuotaStore, everywhere: Quota, seconds: Callable[[], float] = time.monotonic) -> None:
        self.store: Final = store
        self._everywhere = everywhere
        self._seconds = seconds
        self._own: Mapping[str, Quota] | None = None
        self._read_at = -KEPT_SECONDS
        self._lock = anyio.Lock(fast_acquire=True)
        self._is_stale = anyio.Event()

    async def of(self, namespace: str) -> Quota:
        """Return the quota of a namespace: while Postgres is away, the one that was read last."""
        if self._own is None:
            await self._read_first()
        elif self._seconds() >= self._read_at + KEPT_SECONDS:
            self._is_stale.set()
        return (self._own or {}).get(namespace, self._everywhere)

    async def keep(self) -> None:
        """Read the quotas again whenever a call has found them old, until cancelled."""
        while True:
            await self._is_stale.wait()
            await self._read()
            self._is_stale = anyio.Event()

    async def _read_first(self) -> None:
        async with self._lock:
            if self._own is None and self._seconds() >= self._read_at + KEPT_SECONDS:
                await self._read()

    async def _read(self) -> None:
        self._read_at = self._seconds()
        try:
            own = await self.store.every()
        except MemosError:  # each call reports that by itself
            return
        self._own = {namespace: quota.before(self._everywhere) for namespace, quota in own.items()}
