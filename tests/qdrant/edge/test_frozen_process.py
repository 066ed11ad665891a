"""An index process that does not answer: searches fail soon, and the process continues or is replaced."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import anyio
import pytest

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant.edge import index as edge_index
from memos_mcp.qdrant.edge.index import EdgeIndex
from tests.qdrant.samples import SHAPE, bm25, entry, index_folder, search

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")
QUERY_SECONDS = 2.0
AT_ONCE_SECONDS = 0.5


@pytest.fixture
async def index() -> AsyncIterator[EdgeIndex]:
    with index_folder() as folder:
        index = EdgeIndex(folder, hnsw_threshold=100)
        await index.open(SHAPE)
        await index.put("memory", [entry(1, "cat"), entry(2, "dog")])
        yield index
        await index.close()


@contextmanager
def frozen(index: EdgeIndex) -> Iterator[None]:
    """Stop the index process, and continue it at the end unless it was replaced."""
    process = index._running().worker._process
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)


async def find(index: EdgeIndex, text: str) -> list[int]:
    return bm25(await search(index, "memory", text, None, OURS, 1))


async def search_in_vain(index: EdgeIndex, seconds: float) -> None:
    with anyio.fail_after(seconds), pytest.raises(IndexUnavailable, match="does not answer"):
        await find(index, "cat")


async def test_a_search_fails_within_two_seconds_and_the_next_one_at_once(index: EdgeIndex) -> None:
    with frozen(index):
        await search_in_vain(index, QUERY_SECONDS)
        await search_in_vain(index, AT_ONCE_SECONDS)


async def test_a_search_that_waits_behind_a_write_fails_within_two_seconds_too(index: EdgeIndex) -> None:
    async with anyio.create_task_group() as tasks:
        with frozen(index):
            tasks.start_soon(index.put, "memory", [entry(3, "bird")])
            await search_in_vain(index, QUERY_SECONDS)
            await search_in_vain(index, AT_ONCE_SECONDS)
    assert await find(index, "bird") == [3]


async def test_a_process_that_answers_again_is_searched_at_once_and_its_late_answer_skipped(index: EdgeIndex) -> None:
    process = index._running().worker._process
    with frozen(index):
        await search_in_vain(index, QUERY_SECONDS)
    with anyio.fail_after(5):
        while True:
            with suppress(IndexUnavailable):
                assert await find(index, "dog") == [2]
                break
    assert index._running().worker._process is process


async def test_a_cancelled_search_is_no_sign_of_a_process_that_does_not_answer(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    with frozen(index), anyio.move_on_after(0.05):
        await find(index, "cat")
    monkeypatch.setattr("memos_mcp.qdrant.edge.worker_handle.SEARCH_SECONDS", 0.0)  # as if long ago
    assert await find(index, "dog") == [2]


@pytest.mark.parametrize("operation", ["put", "drop", "report"])
async def test_a_process_that_stays_frozen_is_replaced_and_keeps_what_was_acknowledged(
    index: EdgeIndex, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"put": ("memory", [entry(3)]), "drop": ("memory", [entry(1).item_id])}
    with frozen(index), monkeypatch.context() as patch:
        patch.setattr(edge_index, "PING_SECONDS", 0.05)
        with pytest.raises(IndexUnavailable):
            await getattr(index, operation)(*arguments.get(operation, ()))
        await index.open(SHAPE)
    assert await find(index, "cat") == [1]
    assert await find(index, "dog") == [2]


async def test_a_write_that_takes_long_does_not_end_the_process(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = index._running().worker._process
    writes = [entry(number, "heron " * 40) for number in range(10, 2_010)]
    monkeypatch.setattr(edge_index, "SEARCH_SECONDS", 0.001)

    async def find_until_it_fails() -> None:
        while True:  # a search may still be answered before the first write is sent
            await find(index, "cat")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(index.put, "memory", writes)
        with anyio.fail_after(20), pytest.raises(IndexUnavailable, match="does not answer"):
            await find_until_it_fails()
    monkeypatch.undo()
    assert await find(index, "cat") == [1]
    assert index._running().worker._process is process
