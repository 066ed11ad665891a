"""The reports of the index's holder and the requests to it."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from memos_mcp.domain.index import IndexReport, Shape
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_log import PostgresIndexLog
from memos_mcp.postgres.index_queue import PostgresIndexQueue

pytestmark = pytest.mark.anyio

REPORT = IndexReport("g1", Shape("a-model", 384), {"memory": 3, "tool": 1}, {"memory": 7, "tool": 1})


async def test_no_report_is_published_at_first(database: Database) -> None:
    assert await PostgresIndexLog(database).published() is None
    assert await PostgresIndexLog(database).rebuild_requested() is None


async def test_a_report_is_read_back_with_its_time(database: Database) -> None:
    log = PostgresIndexLog(database)
    await log.publish(REPORT)
    published = await log.published()
    assert published is not None
    report, when = published
    assert report == REPORT
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)


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
