"""Walks the record page by page: to compare the index with it, and to build a new generation from it."""

from collections.abc import AsyncIterator, Callable
from typing import Final
from uuid import UUID

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from memos_mcp.domain.index import (
    ALL_ITEMS,
    ITEM_KINDS,
    Draft,
    Entry,
    ItemKind,
    SequenceRange,
    VectorIndex,
    states_digest,
)
from memos_mcp.domain.index_rows import IndexedRows
from memos_mcp.services.projector import Projector

PAGE_ITEMS: Final = 2_000
"""Rows that are compared at a time: some 20 ms of work for Postgres and as much for the index."""

MAX_PAGE_POINTS: Final = 8 * PAGE_ITEMS
"""Points of the index that are read at a time, however many of them have no row any more."""

BUILD_BATCH: Final = 256


async def pages(rows: IndexedRows) -> AsyncIterator[SequenceRange]:
    """Divide all sequence numbers into ranges of so many rows."""
    first = ALL_ITEMS.first
    while (last := await rows.range_end(first, PAGE_ITEMS)) is not None:
        yield SequenceRange(first, last)
        first = last + 1
    yield SequenceRange(first, ALL_ITEMS.last)


async def differences(index: VectorIndex, rows: IndexedRows, kind: ItemKind) -> AsyncIterator[list[UUID]]:
    """Yield, for each page with any, the items whose points and row differ."""
    async for page in pages(rows):
        async for part in _divided(index, kind, page):
            held = await index.states(kind, part)
            if states_digest(held) != await rows.digest(part):
                expected = await rows.states(part)
                if differing := [
                    item for item in held.keys() | expected.keys() if held.get(item) != expected.get(item)
                ]:
                    yield differing


async def build(draft: Draft, projector: Projector, on_progress: Callable[[int], None]) -> None:
    """Put every item into a draft and commit it; discard it if that fails. Reports how many items were put."""
    done = 0
    try:
        for kind in ITEM_KINDS:
            batches, sent = anyio.create_memory_object_stream[tuple[int, list[Entry]]](0)
            async with anyio.create_task_group() as tasks, sent:
                tasks.start_soon(_read, projector, kind, batches)
                async for count, entries in sent:  # the next batch is read while this one is put
                    await draft.put(kind, entries)
                    done += count
                    on_progress(done)
        await draft.commit()
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await draft.discard()
        if isinstance(error, ExceptionGroup):
            raise error.exceptions[0] from error
        raise


async def _read(projector: Projector, kind: ItemKind, batches: MemoryObjectSendStream[tuple[int, list[Entry]]]) -> None:
    """Send the entries of all items, each batch with the number of its items; some may be deleted by then."""
    with batches:
        async for page in pages(projector.rows(kind)):
            ids = list(await projector.rows(kind).states(page))
            for start in range(0, len(ids), BUILD_BATCH):
                batch = ids[start : start + BUILD_BATCH]
                await batches.send((len(batch), await projector.entries(kind, batch)))


async def _divided(index: VectorIndex, kind: ItemKind, page: SequenceRange) -> AsyncIterator[SequenceRange]:
    """Divide a page in which the index holds many points, such as those of another database."""
    if page.first == page.last or await index.count(kind, page) <= MAX_PAGE_POINTS:
        yield page
        return
    middle = (page.first + page.last) // 2
    for half in (SequenceRange(page.first, middle), SequenceRange(middle + 1, page.last)):
        async for part in _divided(index, kind, half):
            yield part
