"""Records who did what, off the path of the calls: in batches, a second later at most."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import anyio

from memos_mcp.domain.audit import AuditMode, AuditOutcome, AuditQuery, AuditRecord, AuditStore
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.scope import Scope

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 1.0
FAILURES_SECONDS: Final = 60.0
"""Between two records of requests that were not authenticated: a flood of them makes one row a minute."""

WRITE_SECONDS: Final = 5.0
PRUNE_SECONDS: Final = 6 * 3600.0
BATCH: Final = 1_000
MAX_WAITING: Final = 10_000
"""Records in memory while Postgres is away. Further ones are counted by caller, tool and outcome, without ids."""

COUNTED: Final[frozenset[AuditOutcome]] = frozenset({"refused"})
"""Outcomes of which only a count is kept for each second, caller and tool: they touched nothing, and a client that
repeats a wrong call does so fast."""


class AuditTrail:
    """Writes records in the background while `run` runs; `flush` writes the last ones. `now` is the clock."""

    def __init__(self, store: AuditStore, mode: AuditMode, now: Callable[[], datetime]) -> None:
        self._store = store
        self._mode = mode
        self._now = now
        self._waiting: list[AuditRecord] = []
        self._counted: dict[tuple[object, ...], AuditRecord] = {}
        self._lost = 0
        self._unauthenticated = Counter[str]()
        self._next_failures = 0.0
        self._added = anyio.Event()

    def records(self, *, changes: bool) -> bool:
        """Whether a call is to be recorded, by whether its tool changes something."""
        return self._mode == "all" or (changes and self._mode == "changes")

    def record(
        self, scope: Scope, tool: str, outcome: AuditOutcome, item_ids: list[str], request_id: str | None
    ) -> None:
        """Have a call recorded."""
        record = AuditRecord(self._now(), scope, tool, outcome, scope.client.transport, tuple(item_ids), request_id)
        if len(self._waiting) >= MAX_WAITING or (outcome in COUNTED and not item_ids):
            self._count(scope, record)
        else:
            self._waiting.append(record)
        self._added.set()

    def unauthenticated(self, transport: str) -> None:
        """Count a request that was refused because nobody knows whose it is."""
        if self._mode != "off":
            self._unauthenticated[transport] += 1
            self._added.set()

    async def find(self, query: AuditQuery) -> list[AuditRecord]:
        """Return the newest records that fit."""
        return await self._store.find(query)

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            await self._added.wait()
            await anyio.sleep(FLUSH_SECONDS)
            self._added = anyio.Event()
            try:
                # A write that is cancelled may have been carried out, and would be repeated at the end.
                with anyio.move_on_after(WRITE_SECONDS, shield=True):
                    await self._write(failures=anyio.current_time() >= self._next_failures)
            except Unavailable:
                self._added.set()
            except Exception:  # a defect here must cost records, and not the server
                logger.exception("audit records could not be written")

    async def flush(self) -> None:
        """Write everything that is not written yet."""
        try:
            await self._write(failures=True)
        except Unavailable:
            self._lost += len(self._waiting) + len(self._counted)
        if self._lost:
            logger.error("%d audit records are lost, because Postgres was away", self._lost)

    async def keep(self, age: timedelta) -> None:
        """Delete records once they are older than this, until cancelled."""
        while True:
            try:
                await self._store.prune(self._now() - age)
            except Unavailable:
                logger.warning("old audit records are not deleted now: Postgres is away")
            await anyio.sleep(PRUNE_SECONDS)

    def _count(self, scope: Scope, record: AuditRecord) -> None:
        key = (scope.namespace, scope.agent_id, scope.token_id, scope.client, record.tool, record.outcome)
        known = self._counted.get(key)
        if known is None and len(self._counted) >= MAX_WAITING:
            self._lost += 1
            return
        self._counted[key] = replace(record, item_ids=(), calls=1 if known is None else known.calls + 1)

    async def _write(self, *, failures: bool) -> None:
        """Write what waits; what cannot be written waits on."""
        self._waiting += self._counted.values()
        self._counted.clear()
        if failures and self._unauthenticated:
            self._next_failures = anyio.current_time() + FAILURES_SECONDS
            now = self._now()
            self._waiting += [
                AuditRecord(now, None, None, "unauthenticated", transport, calls=count)
                for transport, count in self._unauthenticated.items()
            ]
            self._unauthenticated.clear()
        elif self._unauthenticated:
            self._added.set()  # they are due later
        while self._waiting:
            batch = self._waiting[:BATCH]
            await self._store.add(batch)
            del self._waiting[: len(batch)]
