"""What is measured of the uses of connections."""

from collections.abc import AsyncIterator

import pytest

from memos_mcp.domain.telemetry import PoolState
from memos_mcp.postgres.measured_database import MeasuredDatabase
from memos_mcp.telemetry.recorder import Recorder

pytestmark = pytest.mark.anyio


@pytest.fixture
def recorder() -> Recorder:
    """What the measured database reports to."""
    return Recorder()


@pytest.fixture
async def measured(database_url: str, callers_role: str, recorder: Recorder) -> AsyncIterator[MeasuredDatabase]:
    """A measured database behind row-level security, with one connection in its pool."""
    database = MeasuredDatabase(database_url, recorder, pool_size=1, callers_role=callers_role)
    yield database
    await database.close()


async def test_every_use_of_a_connection_by_a_call_is_measured_once(
    measured: MeasuredDatabase, recorder: Recorder
) -> None:
    await measured.server_version()
    mine, everything = measured.within("mine"), measured.everything
    uses = [use for one in (mine, everything) for use in (one.connection, one.reading, one.lookup, one.transaction)]
    with recorder.call("query_memory"):
        for number, use in enumerate(uses, 1):
            async with use() as connection:
                await connection.execute("SELECT")
            assert sum(recorder.stage_durations["postgres"].counts) == number


async def test_the_use_of_a_connection_is_not_measured_beyond_the_end_of_its_user(
    measured: MeasuredDatabase, recorder: Recorder
) -> None:
    await measured.server_version()
    with recorder.call("query_memory"):
        async with measured.within("mine").reading():
            pass
        assert measured._lender.endings._running
        assert sum(recorder.stage_durations["postgres"].counts) == 1


async def test_the_pool_is_watched(measured: MeasuredDatabase, recorder: Recorder) -> None:
    assert recorder.pool_state is not None
    assert recorder.pool_state() == PoolState(0, 0, 1, 0)
    async with measured.everything.connection():
        assert recorder.pool_state() == PoolState(1, 1, 1, 0)
    assert recorder.pool_state() == PoolState(1, 0, 1, 0)
