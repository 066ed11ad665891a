"""The index queue, as the services see it: the items that the index does not hold in their current version yet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from memos_mcp.domain.index import ItemKind
from memos_mcp.domain.index_rows import FormerPosition


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed entry of the index queue: this item may differ from its points.

    former_positions: the positions in sessions that it has had since it was queued, and has no longer.
    """

    kind: ItemKind
    item_id: UUID
    version: int
    attempts: int
    former_positions: Sequence[FormerPosition] = ()


class Indexed(NamedTuple):
    """An item and the version at which the index now holds it, 0 for one that it no longer holds."""

    kind: ItemKind
    item_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """The backlog of the index. `oldest` is the time at which the longest waiting item was queued.

    unclaimed: how many of the queued items have not been claimed since they were last written.
    """

    depth: Mapping[ItemKind, int]
    unclaimed: int
    oldest: datetime | None
    last_error: str | None


class IndexQueue(Protocol):
    """The queue: a set of items, marked by triggers of the schema in the writer's transaction."""

    async def claim(self, limit: int, lease: timedelta) -> list[Claim]: ...

    async def finish(self, due: Sequence[Claim]) -> None:
        """Remove the claims whose item has not changed meanwhile; release the others."""

    async def notify_indexed(self, indexed: Sequence[Indexed]) -> None:
        """Notify every process that `wait`s on this database of what the index holds now."""

    def subscribe(self, callback: Callable[[Sequence[Indexed]], None]) -> None:
        """Call this with every notification of `notify_indexed`, by any process, once `wait` was called."""

    async def fail(self, due: Sequence[Claim], reason: str, retry_in: timedelta) -> None: ...

    async def release(self, due: Sequence[Claim]) -> None:
        """Release claimed items, as if they had never been claimed."""

    async def defer(self, due: Sequence[Claim], waits: Mapping[str, timedelta]) -> set[UUID]:
        """Let those items of these namespaces that nobody is changing wait so long; return which."""

    async def reclaim(self) -> None:
        """Release all claims, for the only process that may hold an embedded index."""

    async def queued_ids(self, kind: ItemKind, item_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these items that are still queued."""

    async def mark(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None: ...

    async def mark_all(self) -> int:
        """Queue every memory and tool; return how many."""

    async def mark_remaining(self) -> None:
        """Queue every memory and tool that is not queued, and change no row of those that are."""

    async def state(self) -> QueueState: ...

    async def wait(self, seconds: float) -> None:
        """Return when any process has queued an item, or after this time."""
