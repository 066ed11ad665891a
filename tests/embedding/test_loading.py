"""A model is loaded once for all who wait, and a failure is not repeated at every call."""

import threading

import anyio
import anyio.to_thread
import pytest

from memos_mcp.domain.errors import EmbedderUnavailable, RerankerUnavailable, Unavailable
from memos_mcp.embedding.loading import LoadOnce

pytestmark = pytest.mark.anyio


async def test_all_who_wait_share_one_load_and_take_no_thread_from_others() -> None:
    go_on = threading.Event()
    loads: list[object] = []
    found: list[object] = []

    def load() -> object:
        loads.append(object())
        assert go_on.wait(10)
        return loads[-1]

    async def wait() -> None:
        found.append(await loading.model())

    loading = LoadOnce(load)
    assert (loads, loading.loaded, loading.under_way) == ([], None, False)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            taken = anyio.to_thread.current_default_thread_limiter().borrowed_tokens
            go_on.set()
        await wait()

    assert len(loads) == 1
    assert found == loads * 5
    assert taken == 0
    assert (loading.loaded, loading.under_way) == (loads[0], False)


@pytest.mark.parametrize("kind", [EmbedderUnavailable, RerankerUnavailable])
async def test_a_failure_is_repeated_for_a_while_and_then_the_load_is_tried_again(kind: type[Unavailable]) -> None:
    now = 1_000.0
    tries = 0

    def load() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise kind(f"Try {tries} failed.")
        return "the model"

    loading = LoadOnce(load, clock=lambda: now)
    for moment, message in ((0, "Try 1"), (0, "Try 1"), (29.9, "Try 1"), (30, "Try 2"), (59.9, "Try 2")):
        now = 1_000.0 + moment
        with pytest.raises(kind, match=f"^{message} failed.$"):
            await loading.model()
    assert tries == 2

    now = 1_060.0
    assert [await loading.model(), await loading.model()] == ["the model"] * 2
    assert tries == 3


@pytest.mark.parametrize("fails", [False, True])
async def test_the_outcome_is_kept_though_the_one_who_waited_has_left(fails: bool) -> None:
    began, go_on = threading.Event(), threading.Event()
    tries = 0

    def load() -> str:
        nonlocal tries
        tries += 1
        began.set()
        assert go_on.wait(10)
        if fails:
            raise EmbedderUnavailable("It is not there.")
        return "the model"

    loading = LoadOnce(load)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: loading.model(abandon_on_cancel=True))
            await anyio.to_thread.run_sync(began.wait, 10)
            tasks.cancel_scope.cancel()
        assert loading.under_way
        go_on.set()
        if fails:
            with pytest.raises(EmbedderUnavailable, match="not there"):
                await loading.model()
        else:
            assert await loading.model() == "the model"

    assert tries == 1


async def test_one_who_may_not_leave_is_held_until_the_load_has_ended() -> None:
    began, go_on = threading.Event(), threading.Event()

    def load() -> str:
        began.set()
        assert go_on.wait(10)
        return "the model"

    async def let_go_on() -> None:
        await anyio.wait_all_tasks_blocked()
        go_on.set()

    loading = LoadOnce(load)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as others:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(loading.model)
                await anyio.to_thread.run_sync(began.wait, 10)
                others.start_soon(let_go_on)
                tasks.cancel_scope.cancel()
            assert loading.loaded == "the model"
