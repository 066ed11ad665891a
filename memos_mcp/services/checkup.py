"""Tells whether the record and the index agree, for `doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from memos_mcp.domain.errors import IndexUnavailable, Unavailable
from memos_mcp.domain.index import (
    ITEM_KINDS,
    EmbeddingStore,
    IndexLog,
    IndexQueue,
    IndexReport,
    ItemKind,
    QueueState,
    VectorIndex,
)
from memos_mcp.services.projector import Projector, differences


@dataclass(frozen=True, slots=True)
class Checkup:
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
    ) -> None:
        self._index = index
        self._queue = queue
        self._embeddings = embeddings
        self._log = log
        self._projector = projector
        self._model = model

    async def rows(self) -> dict[ItemKind, int]:
        """Return how many items of each kind the index should hold."""
        return {kind: len(await self._projector.versions(kind)) for kind in ITEM_KINDS}

    async def check_up(self) -> Checkup:
        """Compare all there is; `StoreUnavailable` when Postgres cannot be asked."""
        state = await self._queue.state()
        computed = await self._embeddings.computed(self._model)
        problems: list[str] = []
        report, reported_at, astray = None, None, 0
        try:
            await self._index.open(await self._projector.shape())
            report, astray = await self._index.report(), await self._astray()
        except IndexUnavailable as error:
            published = await self._log.published()
            if published is None:
                problems.append(str(error))
            else:
                report, reported_at = published
                astray = await self._unaccounted(report, state)
        except Unavailable as error:
            problems.append(str(error))
        if astray:
            problems.append(f"{astray} items differ from their points and are not queued. Run: memos-as reindex")
        if report is not None and report.shape.model != self._model:
            problems.append(f"The index was built for {report.shape.model}. The server rebuilds it when it runs.")
        return Checkup(self._model, await self.rows(), state, computed, report, reported_at, astray, tuple(problems))

    async def _astray(self) -> int:
        """Count the items whose points differ from their row although nothing is queued to mend that."""
        astray = 0
        for kind in ITEM_KINDS:
            differing = await differences(self._index, self._projector, kind)
            astray += len(set(differing) - await self._queue.waiting(kind, differing))
        return astray

    async def _unaccounted(self, report: IndexReport, state: QueueState) -> int:
        """Estimate the same from the counts that the holder of the index published."""
        missing = sum(abs(count - report.items.get(kind, 0)) for kind, count in (await self.rows()).items())
        return max(0, missing - sum(state.depth.values()))
