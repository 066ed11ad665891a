"""The state of the indexer: an immutable value whose methods return the state after an event."""

from dataclasses import dataclass, replace

from memos_mcp.domain.index_queue import QueueState


@dataclass(frozen=True, slots=True)
class IndexerState:
    """The state of the index and its queue, as the indexer knows it.

    behind: an answer may lack something that was acknowledged before; true until the queue was seen empty.
    idle: nothing can be indexed now; an item that failed alone may still be queued.
    enqueue_epoch: grows with every item known to be queued, so that a count of the queue that began before is not
    trusted.  replaced: the generation that a rebuild replaces.  next_rebuild: above 0 after a failed rebuild.
    """

    error: str | None = "The search index is being opened."
    serving: bool = False
    idle: bool = False
    queue_empty: bool = False
    behind: bool = True
    enqueue_epoch: int = 0
    loading: bool = False
    rebuilding: bool = False
    replaced: str | None = None
    next_rebuild: float = 0.0
    next_housekeeping: float = 0.0
    housekeeping_pending: bool = False

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits to be indexed."""
        return self.idle and self.queue_empty

    @property
    def poll_soon(self) -> bool:
        """Whether a long wait for the queue would delay something."""
        return self.housekeeping_pending or not self.queue_empty

    def swapped(self, generation: str | None) -> bool:
        """Whether a new generation is current already, but it is not known yet what it lacks."""
        return self.replaced is not None and self.replaced != generation

    def opened(self) -> "IndexerState":
        """Note that the index can be searched; what it lacks is not known yet."""
        return replace(self, serving=True, error=None, behind=True)

    def reconciled(self, depth: int, epoch: int) -> "IndexerState":
        """Note how many items the queue held after all differences were queued, counted since `epoch`."""
        return replace(self, behind=depth > 0 or self.enqueue_epoch > epoch)

    def failed(self, reason: str) -> "IndexerState":
        """Note why the index cannot be brought up to date."""
        return replace(self, error=reason)

    def stopped(self) -> "IndexerState":
        """Note that the indexer does not serve until the next attempt."""
        return replace(self, serving=False, idle=False)

    def claimed(self, count: int, *, full_batch: bool) -> "IndexerState":
        """Note a claim of so many items. Acknowledged items may wait behind a full batch."""
        behind, pending = self.behind or full_batch, self.housekeeping_pending or count > 0
        return replace(self, loading=full_batch, behind=behind, housekeeping_pending=pending)

    def drained(self, queue: QueueState, epoch: int, *, outdated: bool) -> "IndexerState":
        """Note that nothing more can be claimed, and the queue as it was counted since `epoch`."""
        depth = sum(queue.depth.values())
        empty = depth == 0 and self.enqueue_epoch == epoch
        # Items queued after the last claim were not acknowledged before: they alone leave `behind` unchanged.
        behind = depth > queue.unclaimed or (self.behind and not empty)
        return replace(self, idle=not outdated, queue_empty=empty, behind=behind)

    def resumed(self) -> "IndexerState":
        """Note that the wait for the queue is over."""
        return replace(self, idle=False)

    def enqueued(self, *, acknowledged: bool = False) -> "IndexerState":
        """Note a queued item that a count under way may not include. `acknowledged`: its writer no longer waits."""
        behind = self.behind or acknowledged
        return replace(self, enqueue_epoch=self.enqueue_epoch + 1, queue_empty=False, behind=behind)

    def replacing(self, generation: str | None) -> "IndexerState":
        """Note the generation that serves until a new one is swapped in, None when none is being built."""
        return replace(self, replaced=generation)

    def generation_swapped(self, *, lacks_items: bool) -> "IndexerState":
        """Note whether the new generation lacks items, which are then queued."""
        return replace(self.enqueued(acknowledged=True), idle=False) if lacks_items else self

    def rebuild_started(self) -> "IndexerState":
        """Note that a rebuild runs, so that no other starts."""
        return replace(self, rebuilding=True)

    def rebuild_stopped(self, next_rebuild: float) -> "IndexerState":
        """Note that the rebuild ended, and when the next one may start: 0 after a success."""
        return replace(self, rebuilding=False, next_rebuild=next_rebuild)

    def housekeeping(self, now: float, interval: float) -> "IndexerState":
        """Start housekeeping, or leave it pending until `interval` has passed since the last one."""
        if now < self.next_housekeeping:
            return replace(self, housekeeping_pending=True)
        return replace(self, housekeeping_pending=False, next_housekeeping=now + interval)
