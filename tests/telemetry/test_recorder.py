from time import perf_counter

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.telemetry.recorder import BOUNDS, Histogram, Recorder, cumulative

pytestmark = pytest.mark.anyio


def count(histogram: Histogram) -> int:
    return sum(histogram.counts)


def test_a_duration_counts_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.0005, 0.0006, 0.3, 31.0):
        histogram.observe(seconds)
    sums = dict(zip([*BOUNDS, None], cumulative(histogram.counts), strict=True))
    assert (sums[0.0005], sums[0.001], sums[0.25], sums[0.5], sums[30.0], sums[None]) == (2, 3, 3, 4, 4, 5)
    assert histogram.seconds == pytest.approx(31.3011)


def test_a_stage_outside_of_a_call_is_not_measured() -> None:
    recorder = Recorder()
    with recorder.stage("postgres"):
        pass
    assert count(recorder.stage_durations["postgres"]) == 0


def test_a_stage_within_itself_is_measured_once() -> None:
    recorder = Recorder()
    with recorder.call("query_memory"), recorder.stage("postgres"), recorder.stage("postgres"):
        pass
    with recorder.call("query_memory"), recorder.stage("search"), recorder.stage("postgres"):
        pass
    assert count(recorder.stage_durations["postgres"]) == 2


def test_a_call_counts_as_cancelled_unless_its_outcome_is_known() -> None:
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt), recorder.call("store_memory"):
        raise KeyboardInterrupt
    with recorder.call("store_memory") as call:
        call.outcome = "degraded"
    assert recorder.calls == {("store_memory", "cancelled"): 1, ("store_memory", "degraded"): 1}
    assert count(recorder.call_durations["store_memory"]) == 2


async def test_the_stages_of_concurrent_calls_and_of_their_tasks_are_measured() -> None:
    recorder = Recorder()

    async def stage() -> None:
        with recorder.stage("postgres"):
            await anyio.lowlevel.checkpoint()

    async def call() -> None:
        with recorder.call("build_loadout"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage)
                tasks.start_soon(stage)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call)
            tasks.start_soon(stage)
    assert count(recorder.stage_durations["postgres"]) == 6


def test_a_client_is_counted_while_it_is_connected() -> None:
    recorder = Recorder()
    with recorder.client("sse"), recorder.client("sse"):
        assert recorder.clients == {"sse": 2}
    assert recorder.clients == {"sse": 0}


def test_measuring_a_query_costs_less_than_50_microseconds() -> None:
    """That is less than one percent of the fastest query."""
    recorder, costs = Recorder(), []
    for _ in range(200):
        began = perf_counter()
        with recorder.call("query_memory") as call:
            for stage in ("postgres", "embed", "search", "rank", "postgres"):
                with recorder.stage(stage):
                    pass
            call.outcome = "ok"
        costs.append(perf_counter() - began)
    assert sorted(costs)[10] < 50e-6
