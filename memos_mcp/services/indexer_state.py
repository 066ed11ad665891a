"""The state of the indexer: an immutable value whose methods return the state after an event."""

from dataclasses import dataclass, replace

from memos_mcp.domain.index_queue import QueueState


@dataclass(frozen=True, slots=True)
class IndexerState:
    """The state of the index and its queue, as the indexer knows it.

    checked: the index has been compared with the record since it was opened.
    lagging: what was acknowledged before may still be queued; true until the queue was seen empty.
    waiting: nothing in the queue can be indexed now.
    enqueue_epoch: grows with every item known to be queued, so that a count of the queue that began before is not
    trusted.  replaced: the generation that a rebuild replaces.  next_rebuild: above 0 after a failed rebuild.
    """

    error: str | None = "The search index is being opened."
    serving: bool = False
    waiting: bool = False
    queue_empty: bool = False
    checked: bool = False
    lagging: bool = True
    enqueue_epoch: int = 0
    loading: bool = False
    rebuilding: bool = False
    replaced: str | None = None
    next_rebuild: float = 0.0
    next_housekeeping: float = 0.0
    housekeeping_pending: bool = False

    @property
    def behind(self) -> bool:
        """Whether an answer may lack something that was acknowledged before."""
        return self.lagging or not self.checked

    @property
    def idle(self) -> bool:
        """Whether nothing can be indexed now; an item that failed alone may still be queued."""
        return self.waiting and self.checked

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits to be indexed."""
        return self.idle and self.queue_empty

    @property
    def poll_soon(self) -> bool:
        """Whether a long wait for the queue would delay something."""
        return self.rebuilding or self.housekeeping_pending or not self.queue_empty

    def swapped(self, generation: str | None) -> bool:
        """Whether a new generation is current already, but it is not known yet what it lacks."""
        return self.replaced is not None and self.replaced != generation

    def opened(self) -> "IndexerState":
        """Note that the index can be searched; what it lacks is not known yet."""
        return replace(self, serving=True, error=None, checked=False, lagging=True)

    def reconciled(self, out_of_sync: int, depth: int, epoch: int) -> "IndexerState":
        """Note how many items differed from the record and were queued; the queue was counted since `epoch`.

        They may be indexed already: the queue is processed meanwhile.
        """
        empty = depth == 0 and self.enqueue_epoch == epoch
        return replace(self, checked=True, lagging=(self.lagging or out_of_sync > 0) and not empty)

    def failed(self, reason: str) -> "IndexerState":
        """Note why the index cannot be brought up to date."""
        return replace(self, error=reason)

    def stopped(self) -> "IndexerState":
        """Note that the indexer does not serve until the next attempt."""
        return replace(self, serving=False, waiting=False)

    def claimed(self, count: int, *, full_batch: bool) -> "IndexerState":
        """Note a claim of so many items. Acknowledged items may wait behind a full batch."""
        lagging, pending = self.lagging or full_batch, self.housekeeping_pending or count > 0
        return replace(self, loading=full_batch, lagging=lagging, housekeeping_pending=pending)

    def drained(self, queue: QueueState, epoch: int, *, outdated: bool) -> "IndexerState":
        """Note that nothing more can be claimed, and the queue as it was counted since `epoch`."""
        depth = sum(queue.depth.values())
        empty = depth == 0 and self.enqueue_epoch == epoch
        # Items queued after the last claim were not acknowledged before: they alone leave `lagging` unchanged.
        lagging = depth > queue.unclaimed or (self.lagging and not empty)
        return replace(self, waiting=not outdated, queue_empty=empty, lagging=lagging)

    def resumed(self) -> "IndexerState":
        """Note that the wait for the queue is over."""
        return replace(self, waiting=False)

    def enqueued(self, *, acknowledged: bool = False) -> "IndexerState":
        """Note a queued item that a count under way may not include. `acknowledged`: its writer no longer waits."""
        lagging = self.lagging or acknowledged
        return replace(self, enqueue_epoch=self.enqueue_epoch + 1, queue_empty=False, lagging=lagging)

    def replacing(self, generation: str | None) -> "IndexerState":
        """Note the generation that serves until a new one is swapped in, None when none is being built."""
        return replace(self, replaced=generation)

    def generation_swapped(self, *, lacks_items: bool) -> "IndexerState":
        """Note that a new generation has been compared, and whether it lacks items, which are then queued."""
        checked = replace(self, checked=True)
        return replace(checked.enqueued(acknowledged=True), waiting=False) if lacks_items else checked

    def rebuild_started(self) -> "IndexerState":
        """Note that a rebuild runs, so that no other starts."""
        return replace(self, rebuilding=True)

    def rebuild_stopped(self, next_rebuild: float) -> "IndexerState":
        """Note that the rebuild ended, and when the next one may start: 0 after a success. One may be due already."""
        return replace(self, rebuilding=False, next_rebuild=next_rebuild, housekeeping_pending=True)

    def housekeeping(self, now: float, interval: float) -> "IndexerState":
        """Start housekeeping, or leave it pending until `interval` has passed since the last one."""
        if now < self.next_housekeeping:
            return replace(self, housekeeping_pending=True)
        return replace(self, housekeeping_pending=False, next_housekeeping=now + interval)
