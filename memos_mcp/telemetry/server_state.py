"""Reads the state of the parts of a server, for its metrics."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio

from memos_mcp.domain.engines import BuildProgress
from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.index import IndexReport, VectorIndex
from memos_mcp.domain.index_queue import IndexQueue, QueueState
from memos_mcp.domain.telemetry import PoolState

SECONDS: Final = 2.0
"""For each part. Prometheus gives up after ten seconds, by default."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of the parts at a time. `queue` and `index` are None when they could not be read."""

    at: datetime
    queue: QueueState | None
    index: IndexReport | None
    building: BuildProgress | None
    pool: PoolState | None


async def read_state(
    queue: IndexQueue, index: VectorIndex, building: BuildProgress | None, pool: PoolState | None
) -> ServerState:
    """Return the state of the parts; each has two seconds to answer."""
    backlog: QueueState | None = None
    report: IndexReport | None = None

    async def read_queue() -> None:
        nonlocal backlog
        with anyio.move_on_after(SECONDS):
            try:
                backlog = await queue.state()
            except MemosError:
                return

    async def read_index() -> None:
        nonlocal report
        with anyio.move_on_after(SECONDS):
            try:
                report = await index.report()
            except MemosError:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_queue)
        tasks.start_soon(read_index)
    return ServerState(datetime.now(UTC), backlog, report, building, pool)
