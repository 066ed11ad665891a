"""The engines that run on the database."""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from memos_mcp.domain.index import IndexReport, Shape
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.engines import PostgresEngines

pytestmark = pytest.mark.anyio

REPORT = IndexReport("g1", Shape("a-model", 384), {"memory": 3, "tool": 1}, {"memory": 7, "tool": 1})
STARTED = datetime(2026, 1, 2, 3, tzinfo=UTC)


def engine(database: Database, name: str) -> PostgresEngines:
    return PostgresEngines(database, name, "1.2.3", STARTED)


async def age(database: Database, name: str, minutes: float) -> None:
    async with database.everything.connection() as connection:
        statement = "UPDATE engines SET seen_at = seen_at - make_interval(secs => 60 * $2) WHERE name = $1"
        await connection.execute(statement, name, minutes)


async def names(database: Database) -> list[str]:
    return [one.name for one in await engine(database, "a reader").running()]


async def test_an_engine_is_read_back_with_its_last_report(database: Database) -> None:
    first = engine(database, "host 1")
    await first.refresh(None, exclusive=True)
    (found,) = await first.running()
    assert (found.name, found.version, found.started_at, found.index) == ("host 1", "1.2.3", STARTED, None)
    await first.refresh(REPORT, exclusive=True)
    (found,) = await first.running()
    assert (found.index, found.exclusive) == (REPORT, True)
    assert abs(datetime.now(UTC) - found.seen_at) < timedelta(minutes=1)


async def test_an_engine_that_lost_its_index_holds_nothing(database: Database) -> None:
    first = engine(database, "host 1")
    await first.refresh(REPORT, exclusive=True)
    await first.refresh(None, exclusive=True)
    (found,) = await first.running()
    assert (found.index, found.exclusive) == (None, False)


async def test_the_engine_that_was_seen_last_comes_first(database: Database) -> None:
    first, second = engine(database, "host 1"), engine(database, "host 2")
    for one in (first, second, first):
        await one.refresh(REPORT, exclusive=False)
    assert await names(database) == ["host 1", "host 2"]


async def test_an_engine_that_stopped_is_deleted_and_the_others_stay(database: Database) -> None:
    first, second = engine(database, "host 1"), engine(database, "host 2")
    await first.refresh(REPORT, exclusive=False)
    await second.refresh(REPORT, exclusive=False)
    await first.remove()
    assert await names(database) == ["host 2"]


async def test_an_engine_that_crashed_is_omitted_after_two_minutes_and_deleted_by_the_next_report(
    database: Database,
) -> None:
    for name in ("crashed", "silent"):
        await engine(database, name).refresh(REPORT, exclusive=True)
    await age(database, "crashed", 2.1)
    await age(database, "silent", 1.5)
    assert await names(database) == ["silent"]
    await engine(database, "next").refresh(None, exclusive=True)
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT string_agg(name, ' ' ORDER BY name) FROM engines") == "next silent"


async def test_an_engine_that_was_suspended_for_long_comes_back(database: Database) -> None:
    first = engine(database, "host 1")
    await first.refresh(REPORT, exclusive=True)
    await age(database, "host 1", 10)
    await first.refresh(REPORT, exclusive=True)
    assert await names(database) == ["host 1"]


async def test_engines_that_report_at_once_beside_expired_ones_do_not_disturb_each_other(database: Database) -> None:
    for number in range(20):
        await engine(database, f"crashed {number}").refresh(None, exclusive=False)
        await age(database, f"crashed {number}", 5)
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(lambda one: one.refresh(REPORT, exclusive=False), engine(database, f"host {number}"))
    assert sorted(await names(database)) == [f"host {number}" for number in range(8)]


async def test_an_engine_that_was_never_recorded_connects_to_nothing_at_its_end() -> None:
    unreachable = Database("postgresql://127.0.0.1:1/none")
    await engine(unreachable, "host 1").remove()
