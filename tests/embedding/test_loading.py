"""A model is loaded once for all waiting callers, and not again at every call after a failure."""

import threading

import anyio
import anyio.to_thread
import pytest

from memos_mcp.domain.errors import EmbedderUnavailable, RerankerUnavailable, Unavailable
from memos_mcp.embedding.loading import ModelLoader

pytestmark = pytest.mark.anyio


async def test_waiting_callers_share_one_load_and_use_no_thread_of_the_default_pool() -> None:
    released = threading.Event()
    loads: list[object] = []
    found: list[object] = []

    def load() -> object:
        loads.append(object())
        assert released.wait(10)
        return loads[-1]

    async def wait() -> None:
        found.append(await loader.get())

    loader = ModelLoader(load)
    assert (loads, loader.loading) == ([], False)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            taken = anyio.to_thread.current_default_thread_limiter().borrowed_tokens
            released.set()
        await wait()

    assert len(loads) == 1
    assert found == loads * 5
    assert taken == 0
    assert not loader.loading


@pytest.mark.parametrize("kind", [EmbedderUnavailable, RerankerUnavailable])
async def test_a_failure_is_raised_again_for_a_while_before_the_next_load(kind: type[Unavailable]) -> None:
    now = 1_000.0
    tries = 0

    def load() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise kind(f"Try {tries} failed.")
        return "the model"

    loader = ModelLoader(load, clock=lambda: now)
    for moment, message in ((0, "Try 1"), (0, "Try 1"), (29.9, "Try 1"), (30, "Try 2"), (59.9, "Try 2")):
        now = 1_000.0 + moment
        with pytest.raises(kind, match=f"^{message} failed.$"):
            await loader.get()
    assert tries == 2

    now = 1_060.0
    assert [await loader.get(), await loader.get()] == ["the model"] * 2
    assert tries == 3


@pytest.mark.parametrize("fails", [False, True])
async def test_the_outcome_of_a_load_is_kept_after_its_caller_was_cancelled(fails: bool) -> None:
    began, released = threading.Event(), threading.Event()
    tries = 0

    def load() -> str:
        nonlocal tries
        tries += 1
        began.set()
        assert released.wait(10)
        if fails:
            raise EmbedderUnavailable("It is not there.")
        return "the model"

    loader = ModelLoader(load)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: loader.get(abandon_on_cancel=True))
            await anyio.to_thread.run_sync(began.wait, 10)
            tasks.cancel_scope.cancel()
        assert loader.loading
        released.set()
        if fails:
            with pytest.raises(EmbedderUnavailable, match="not there"):
                await loader.get()
        else:
            assert await loader.get() == "the model"

    assert tries == 1


async def test_a_cancelled_caller_waits_for_the_load_unless_it_abandons_it() -> None:
    began, released = threading.Event(), threading.Event()
    loads = 0

    def load() -> str:
        nonlocal loads
        loads += 1
        began.set()
        assert released.wait(10)
        return "the model"

    async def release() -> None:
        await anyio.wait_all_tasks_blocked()
        released.set()

    loader = ModelLoader(load)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as others:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(loader.get)
                await anyio.to_thread.run_sync(began.wait, 10)
                others.start_soon(release)
                tasks.cancel_scope.cancel()
            assert (loader.loading, await loader.get(), loads) == (False, "the model", 1)
