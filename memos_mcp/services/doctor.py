"""Tells whether the record and the index agree, for `doctor`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import anyio

from memos_mcp.domain.errors import IndexUnavailable, Unavailable
from memos_mcp.domain.index import ITEM_KINDS, EmbeddingStore, IndexLog, IndexReport, ItemKind, VectorIndex
from memos_mcp.domain.index_queue import IndexQueue, QueueState
from memos_mcp.services.projections import Projector, differences

REPORT_SECONDS: Final = 2.0
REPORT_EXPIRES: Final = timedelta(seconds=120)
"""When a report counts as nobody's: who holds the index reports every few seconds, or after a batch of a minute."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found. `reported_at` is None when the index was read just now, else when its holder last reported.

    `astray` counts items that differ from their row and are not queued; `problems` is empty when all is well.
    """

    model: str
    rows: Mapping[ItemKind, int]
    queue: QueueState
    computed: int
    index: IndexReport | None
    reported_at: datetime | None
    astray: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sight:
    """What could be learnt of the index."""

    report: IndexReport | None = None
    reported_at: datetime | None = None
    astray: int = 0
    problem: str | None = None


class Doctor:
    """Compares rows, points and queue."""

    def __init__(
        self,
        index: VectorIndex,
        queue: IndexQueue,
        embeddings: EmbeddingStore,
        log: IndexLog,
        projector: Projector,
        model: str,
        now: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._queue = queue
        self._embeddings = embeddings
        self.logger = log
        self._projector = projector
        self._model = model
        self._now = now

    async def rows(self) -> dict[ItemKind, int]:
        """Return how many items of each kind the index should hold."""
        return {kind: len(await self._projector.versions(kind)) for kind in ITEM_KINDS}

    async def diagnose(self) -> Diagnosis:
        """Compare all there is; `StoreUnavailable` when Postgres cannot be asked."""
        seen = await self._look()
        problems = [] if seen.problem is None else [seen.problem]
        if seen.astray:
            problems.append(f"{seen.astray} items differ from their points and are not queued. Run: memos-as reindex")
        if seen.report is not None and seen.report.shape.model != self._model:
            problems.append(f"The index was built for {seen.report.shape.model}. The server rebuilds it when it runs.")
        return Diagnosis(
            self._model,
            await self.rows(),
            await self._queue.state(),
            await self._embeddings.computed(self._model),
            seen.report,
            seen.reported_at,
            seen.astray,
            tuple(problems),
        )

    async def _look(self) -> _Sight:
        try:
            await self._index.open(await self._projector.shape())
            return _Sight(await self._index.report(), astray=await self._astray())
        except IndexUnavailable as error:
            # Another process may hold an embedded index; a server that we cannot reach nobody reaches for us.
            return await self._hear(str(error)) if self._index.exclusive else _Sight(problem=str(error))
        except Unavailable as error:
            return _Sight(problem=str(error))

    async def _hear(self, reason: str, *, patient: bool = True) -> _Sight:
        """Take the word of the process that holds the index; if it seems wrong, ask again: it may be a second old."""
        published = await self.logger.published()
        if published is None or published[1] < self._now() - REPORT_EXPIRES:
            return _Sight(problem=reason)
        seen = _Sight(*published, astray=await self._unaccounted(published[0]))
        if seen.astray and patient:
            await anyio.sleep(REPORT_SECONDS)
            return await self._hear(reason, patient=False)
        return seen

    async def _astray(self) -> int:
        """Count the items whose points differ from their row although nothing is queued to mend that."""
        astray = 0
        for kind in ITEM_KINDS:
            differing = await differences(self._index, self._projector, kind)
            astray += len(set(differing) - await self._queue.queued_ids(kind, differing))
        return astray

    async def _unaccounted(self, report: IndexReport) -> int:
        """Estimate the same from the counts that the holder of the index published."""
        waiting = sum((await self._queue.state()).depth.values())
        missing = sum(abs(count - report.items.get(kind, 0)) for kind, count in (await self.rows()).items())
        return max(0, missing - waiting)
