"""The requests to the holder of the index."""

import anyio
import pytest

from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_log import PostgresIndexLog
from memos_mcp.postgres.index_queue import PostgresIndexQueue

pytestmark = pytest.mark.anyio


async def test_no_rebuild_is_requested_at_first(database: Database) -> None:
    assert await PostgresIndexLog(database).rebuild_requested() is None


async def test_a_finished_rebuild_keeps_a_newer_request(database: Database) -> None:
    log = PostgresIndexLog(database)
    await log.request_rebuild()
    first = await log.rebuild_requested()
    assert first is not None
    await log.request_rebuild()
    await log.rebuild_done(first)
    second = await log.rebuild_requested()
    assert second is not None
    assert second > first
    await log.rebuild_done(second)
    assert await log.rebuild_requested() is None


async def test_a_rebuild_request_wakes_a_waiter_of_the_queue(database: Database) -> None:
    queue = PostgresIndexQueue(database)
    await queue.wait(5)  # the first wait only starts to listen
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.wait, 60)
            await PostgresIndexLog(database).request_rebuild()
