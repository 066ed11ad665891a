"""The queue of what the index still owes, as the services see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from memos_mcp.domain.index import ItemKind


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed entry of the index queue: this item may differ from its points."""

    kind: ItemKind
    item_id: UUID
    version: int
    attempts: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """How far the index is behind. `oldest` is when the longest waiting item was queued.

    untried: how many of the queued items have not been claimed since they were last written.
    """

    depth: Mapping[ItemKind, int]
    unclaimed: int
    oldest: datetime | None
    last_error: str | None


class IndexQueue(Protocol):
    """What the index still owes: a set of items, marked by the schema itself in the writer's transaction."""

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]: ...

    async def finish(self, due: Sequence[Claim]) -> None:
        """Clear what is still at the claimed version; hand back at once what moved on meanwhile."""
        ...

    async def fail(self, due: Sequence[Claim], reason: str, retry_in: timedelta) -> None: ...

    async def release(self, due: Sequence[Claim]) -> None:
        """Hand claimed items back untried, as if they had never been claimed."""
        ...

    async def reclaim(self) -> None:
        """Hand back everything that is claimed, for the one process that alone may hold an embedded index."""
        ...

    async def queued_ids(self, kind: ItemKind, item_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these items that are still queued."""
        ...

    async def mark(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None: ...

    async def mark_all(self) -> int:
        """Queue every memory and tool; return how many."""
        ...

    async def state(self) -> QueueState: ...

    async def wait(self, seconds: float) -> None:
        """Return when something was queued by any process, or after this time."""
        ...
