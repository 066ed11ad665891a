"""Compares the record and the index, for `doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import anyio

from memos_mcp.domain.embedding_store import EmbeddingStore
from memos_mcp.domain.engines import BuildProgress, EngineRegistry, RunningEngine
from memos_mcp.domain.erasures import Erasures, ErasureStore
from memos_mcp.domain.errors import IndexUnavailable, Unavailable
from memos_mcp.domain.index import (
    ITEM_KINDS,
    IndexReport,
    ItemKind,
    SettingMismatch,
    VectorIndex,
)
from memos_mcp.domain.index_queue import IndexQueue, QueueState
from memos_mcp.services.projector import Projector
from memos_mcp.services.reconciliation import differences

REPORT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of a comparison. `reported_at` is None when the index itself was read, else the time of the report.

    `engines` are the processes that run an indexer on this database, each with its own report.
    `out_of_sync` counts items that differ from their row and are not queued; `problems` is empty when all is well.
    `notices` name what is worth knowing and is no problem.
    """

    model: str
    rows: Mapping[ItemKind, int]
    queue: QueueState
    computed: int
    index: IndexReport | None
    reported_at: datetime | None
    out_of_sync: int
    problems: tuple[str, ...]
    notices: tuple[str, ...] = ()
    engines: Sequence[RunningEngine] = ()
    building: BuildProgress | None = None
    erasures: Erasures = field(default_factory=Erasures)


@dataclass(frozen=True, slots=True)
class _Counts:
    """What Postgres holds: the rows that the index should hold, and the queue."""

    rows: Mapping[ItemKind, int]
    queue: QueueState


@dataclass(frozen=True, slots=True)
class _IndexStatus:
    """The state of the index, read from the index or from a report, with the counts that were compared with it."""

    report: IndexReport | None = None
    reported_at: datetime | None = None
    out_of_sync: int = 0
    problem: str | None = None
    counts: _Counts | None = None


class Doctor:
    """Compares rows, points and queue."""

    def __init__(
        self,
        index: VectorIndex,
        queue: IndexQueue,
        embeddings: EmbeddingStore,
        engines: EngineRegistry,
        erasures: ErasureStore,
        projector: Projector,
        model: str,
    ) -> None:
        self._index = index
        self._queue = queue
        self._embeddings = embeddings
        self._engines = engines
        self._erasures = erasures
        self._projector = projector
        self._model = model

    async def rows(self) -> dict[ItemKind, int]:
        """Return how many items of each kind the index should hold."""
        return {kind: await self._projector.rows(kind).count() for kind in ITEM_KINDS}

    async def diagnose(self) -> Diagnosis:
        """Compare everything; raise `StoreUnavailable` when Postgres cannot be reached."""
        status = await self._inspect()
        problems = [] if status.problem is None else [status.problem]
        if status.out_of_sync:
            count = f"{status.out_of_sync} items are out of sync with the index and not queued"
            problems.append(f"{count}. Run: memos-as reindex")
        engines = await self._engines.running()
        building = next((engine.building for engine in engines if engine.building is not None), None)
        if building is None and status.report is not None and status.report.shape.model != self._model:
            problems.append(
                f"The index was built for {status.report.shape.model}. The server rebuilds it when it runs."
            )
        erasures = await self._erasures.count()
        if erasures.stored:
            problems.append(
                f"{erasures.stored} erased memories are in the record again, as after restoring an older backup. "
                "Erase them again: memos-as history shows which."
            )
        counts = status.counts or await self._count()
        return Diagnosis(
            self._model,
            counts.rows,
            counts.queue,
            await self._embeddings.computed(self._model),
            status.report,
            status.reported_at,
            status.out_of_sync,
            tuple(problems),
            tuple(_notice(mismatch) for mismatch in status.report.mismatches) if status.report is not None else (),
            engines,
            building,
            erasures,
        )

    async def _inspect(self) -> _IndexStatus:
        try:
            await self._index.open(await self._projector.shape())
            return _IndexStatus(await self._index.report(), out_of_sync=await self._count_out_of_sync())
        except IndexUnavailable as error:
            # Another process may hold an embedded index and report on it; a Qdrant server has no such process.
            return await self._read_report(str(error)) if self._index.exclusive else _IndexStatus(problem=str(error))
        except Unavailable as error:
            return _IndexStatus(problem=str(error))

    async def _read_report(self, reason: str, *, retry: bool = True) -> _IndexStatus:
        """Return the last report of the index's holder; it may be a second old, so a bad one is read again."""
        holder = next((engine for engine in await self._engines.running() if engine.exclusive), None)
        if holder is None or holder.index is None:
            return _IndexStatus(problem=reason)
        counts = await self._count()
        missing = _estimate_missing(holder.index, counts)
        if missing and retry:
            await anyio.sleep(REPORT_SECONDS)
            return await self._read_report(reason, retry=False)
        return _IndexStatus(holder.index, holder.seen_at, missing, counts=counts)

    async def _count(self) -> _Counts:
        return _Counts(await self.rows(), await self._queue.state())

    async def _count_out_of_sync(self) -> int:
        """Count the items whose points differ from their row and that are not queued."""
        out_of_sync = 0
        for kind in ITEM_KINDS:
            async for differing in differences(self._index, self._projector.rows(kind), kind):
                out_of_sync += len(set(differing) - await self._queue.queued_ids(kind, differing))
        return out_of_sync


def _estimate_missing(report: IndexReport, counts: _Counts) -> int:
    """Estimate how many items are out of sync from the numbers alone, kind by kind.

    Queued items may be held already, so that this is the least number: it is exact once nothing is queued.
    """
    differing = {kind: abs(count - report.items.get(kind, 0)) for kind, count in counts.rows.items()}
    return sum(max(0, count - counts.queue.depth.get(kind, 0)) for kind, count in differing.items())


def _notice(mismatch: SettingMismatch) -> str:
    return (
        f"{mismatch.setting} is {mismatch.configured}, but the index of the kind {mismatch.kind} was created "
        f"with {mismatch.found}. To apply it, run: memos-as reindex --fresh"
    )
