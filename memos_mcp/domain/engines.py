"""The engines of a database, as the services see them: the processes that run an indexer on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from memos_mcp.domain.index import IndexReport

ENGINE_EXPIRES: Final = timedelta(minutes=2)
"""An engine that was not seen for this time has crashed. One that runs is seen every few seconds, or after a batch of a
minute."""


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a new generation is built, in items. `seconds_remaining` is an estimate, None before the first item."""

    done: int
    total: int
    seconds_remaining: float | None


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine, and its last report of what the index holds: None while it holds none.

    exclusive: only this process can read that index. Engines that share a Qdrant server report the same one.
    """

    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    exclusive: bool
    index: IndexReport | None
    building: BuildProgress | None = None


class EngineRegistry(Protocol):
    """The running engines, in the database. An instance stands for one engine."""

    async def refresh(
        self, report: IndexReport | None, building: BuildProgress | None = None, *, exclusive: bool
    ) -> None:
        """Record that this engine runs and what it holds, and delete the engines that have expired."""

    async def running(self) -> list[RunningEngine]:
        """Return the engines that have not expired, the one that was seen last first."""

    async def remove(self) -> None:
        """Delete this engine, if it was ever recorded."""
