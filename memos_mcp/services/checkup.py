"""Tells whether the record and the index agree, for `doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

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
from memos_mcp.services.projector import Projector


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


async def check_up(
    index: VectorIndex, queue: IndexQueue, embeddings: EmbeddingStore, log: IndexLog, projector: Projector, model: str
) -> Checkup:
    """Compare rows, points and queue; `StoreUnavailable` when Postgres cannot be asked."""
    truth = {kind: await projector.versions(kind) for kind in ITEM_KINDS}
    rows = {kind: len(versions) for kind, versions in truth.items()}
    state = await queue.state()
    computed = await embeddings.computed(model)
    problems: list[str] = []
    report, reported_at, astray = None, None, 0
    try:
        await index.open(await projector.shape())
        report = await index.report()
        for kind in ITEM_KINDS:
            held = await index.versions(kind)
            differing = [item for item in held.keys() | truth[kind].keys() if held.get(item) != truth[kind].get(item)]
            astray += len(set(differing) - await queue.waiting(kind, differing))
    except IndexUnavailable as error:
        published = await log.published()
        if published is None:
            problems.append(str(error))
        else:
            report, reported_at = published
            missing = sum(abs(rows[kind] - report.items.get(kind, 0)) for kind in ITEM_KINDS)
            astray = max(0, missing - sum(state.depth.values()))
    except Unavailable as error:
        problems.append(str(error))
    if astray:
        problems.append(f"{astray} items differ from their points and are not queued. Run: memos-as reindex")
    if report is not None and report.shape.model != model:
        problems.append(f"The index was built for {report.shape.model}. It is rebuilt when the server runs.")
    return Checkup(model, rows, state, computed, report, reported_at, astray, tuple(problems))
