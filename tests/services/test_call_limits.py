"""Rates, concurrent calls and fair shares, in the memory of an engine."""

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.domain.quotas import Quota, QuotaExceeded
from memos_mcp.services import call_limits, fair_shares
from memos_mcp.services.call_limits import CallLimits
from memos_mcp.services.fair_shares import FairShares, release_share
from memos_mcp.services.token_buckets import MAX_BUCKETS, Buckets

pytestmark = pytest.mark.anyio

SHARE = 2
CYCLES = 20  # of the event loop: more than it takes to admit a call


class Fixed:
    """The same quota for every namespace."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota

    async def of(self, namespace: str) -> Quota:  # noqa: ARG002 - the port's
        return self.quota


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Calls:
    """Calls that are served until they are released."""

    def __init__(self, shares: FairShares) -> None:
        self._shares = shares
        self.served: list[str] = []
        self.ended = anyio.Event()

    async def call(self, namespace: str) -> None:
        with await self._shares.enter(namespace):
            self.served.append(namespace)
            await self.ended.wait()


@pytest.fixture(autouse=True)
def _refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_limits, "REFUSAL_SECONDS", 0)


async def settle() -> None:
    for _ in range(CYCLES):
        await anyio.lowlevel.checkpoint()


async def test_the_rate_admits_a_minutes_calls_at_once_and_then_as_many_as_are_gained() -> None:
    clock = Clock()
    limits = CallLimits(Fixed(Quota(calls_a_minute=5)), seconds=clock)

    async def call(namespace: str) -> None:
        with await limits.admit(namespace):
            pass

    for _ in range(5):
        await call("team")
    with pytest.raises(
        QuotaExceeded, match=r"5 of at most 5 calls a minute\. Repeat the call in 12 seconds\."
    ) as refusal:
        await call("team")
    assert refusal.value.limit == "calls_a_minute"
    await call("other")
    clock.now = 11.5
    with pytest.raises(QuotaExceeded, match="in 1 second"):
        await call("team")
    clock.now = 12
    await call("team")


async def test_a_call_that_was_refused_takes_nothing() -> None:
    clock = Clock()
    limits = CallLimits(Fixed(Quota(calls_a_minute=1)), seconds=clock)
    for clock.now, admitted in ((0, True), (30, False), (60, True)):
        try:
            with await limits.admit("team"):
                assert admitted
        except QuotaExceeded:
            assert not admitted


async def test_concurrent_calls_are_bounded_and_counted_by_namespace() -> None:
    limits = CallLimits(Fixed(Quota(concurrent_calls=1)))
    with await limits.admit("team"), await limits.admit("other"), pytest.raises(QuotaExceeded) as refusal:
        await limits.admit("team")
    assert str(refusal.value).startswith(
        "The namespace has 1 of at most 1 concurrent calls. Repeat the call in 1 second, or"
    )
    assert refusal.value.limit == "concurrent_calls"
    with await limits.admit("team"):
        pass
    assert not limits._running


def test_the_buckets_of_many_namespaces_are_bounded() -> None:
    buckets = Buckets()
    for number in range(MAX_BUCKETS + 10):
        buckets.refilled(str(number), 60, number).level = 0
    assert len(buckets._buckets) == MAX_BUCKETS
    assert buckets.refilled(str(MAX_BUCKETS), 60, MAX_BUCKETS + 10).level == 10


async def test_a_namespace_alone_has_no_share() -> None:
    calls = Calls(FairShares(SHARE, Clock()))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(3 * SHARE):
                tasks.start_soon(calls.call, "team")
            await settle()
            assert len(calls.served) == 3 * SHARE
            calls.ended.set()


async def test_a_flood_waits_in_its_own_queue_while_others_call() -> None:
    clock = Clock()
    shares = FairShares(SHARE, clock)
    flood, other = Calls(shares), Calls(shares)
    other.ended.set()
    with anyio.fail_after(10):
        await other.call("other")
        async with anyio.create_task_group() as tasks:
            for _ in range(3 * SHARE):
                tasks.start_soon(flood.call, "flood")
            await settle()
            assert len(flood.served) == SHARE
            await other.call("other")
            assert len(other.served) == 2
            flood.ended.set()
    assert len(flood.served) == 3 * SHARE
    assert not shares._calls


async def test_a_flood_waits_for_as_long_as_a_call_of_another_namespace_is_served() -> None:
    clock = Clock()
    shares = FairShares(SHARE, clock)
    flood, other = Calls(shares), Calls(shares)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.call, "other")
            for _ in range(SHARE):
                tasks.start_soon(flood.call, "flood")
            await settle()
            clock.now = 2 * fair_shares.CONTENDED_SECONDS
            tasks.start_soon(flood.call, "flood")
            await settle()
            assert len(flood.served) == SHARE
            other.ended.set()
            await settle()
            clock.now = 4 * fair_shares.CONTENDED_SECONDS
            tasks.start_soon(flood.call, "flood")
            await settle()
            assert len(flood.served) > SHARE
            flood.ended.set()


async def test_a_flood_gives_way_to_a_call_that_is_served_but_only_for_so_long() -> None:
    clock = Clock()
    shares = FairShares(SHARE, clock)
    flood, other = Calls(shares), Calls(shares)
    many = SHARE + fair_shares.FLOOD + 1
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.call, "other")
            await settle()
            for _ in range(many):
                tasks.start_soon(flood.call, "flood")
            await settle()
            assert len(flood.served) == SHARE
            flood.ended.set()
            await settle()
            assert len(flood.served) == SHARE
            clock.now = fair_shares.YIELD_SECONDS
            while len(flood.served) < many:
                await anyio.lowlevel.checkpoint()
            assert other.served == ["other"]
            other.ended.set()
    assert not shares._calls


async def test_a_flood_continues_when_the_call_that_it_gave_way_to_has_ended() -> None:
    shares = FairShares(1, Clock())
    flood, other = Calls(shares), Calls(shares)
    with anyio.fail_after(10):
        with await shares.enter("other"):
            pass
        async with anyio.create_task_group() as tasks:
            with await shares.enter("flood"):
                for _ in range(fair_shares.FLOOD + 1):
                    tasks.start_soon(flood.call, "flood")
                tasks.start_soon(other.call, "other")
                await settle()
            await settle()
            assert (flood.served, other.served) == ([], ["other"])
            other.ended.set()
            await settle()
            assert flood.served == ["flood"]
            flood.ended.set()


async def test_a_queue_is_served_at_once_when_the_others_have_stopped() -> None:
    clock = Clock()
    shares = FairShares(SHARE, clock)
    calls = Calls(shares)
    with anyio.fail_after(10):
        with await shares.enter("other"):
            pass
        async with anyio.create_task_group() as tasks:
            with await shares.enter("flood"):
                for _ in range(3 * SHARE):
                    tasks.start_soon(calls.call, "flood")
                await settle()
                assert len(calls.served) == SHARE - 1
                clock.now = fair_shares.CONTENDED_SECONDS
            await settle()
            assert len(calls.served) == 3 * SHARE
            calls.ended.set()


async def test_a_call_that_only_waits_gives_its_share_to_another() -> None:
    shares = FairShares(SHARE, Clock())
    calls = Calls(shares)
    with anyio.fail_after(10):
        with await shares.enter("other"):
            pass
        async with anyio.create_task_group() as tasks:
            with await shares.enter("team"):
                for _ in range(SHARE):
                    tasks.start_soon(calls.call, "team")
                await settle()
                assert len(calls.served) == SHARE - 1
                release_share()
                await settle()
                assert len(calls.served) == SHARE
            calls.ended.set()
    assert not shares._calls


async def test_a_cancelled_call_leaves_the_queue() -> None:
    shares = FairShares(SHARE, Clock())
    calls = Calls(shares)
    with anyio.fail_after(10):
        with await shares.enter("other"):
            pass
        async with anyio.create_task_group() as tasks:
            for _ in range(2 * SHARE):
                tasks.start_soon(calls.call, "team")
            await settle()
            tasks.cancel_scope.cancel()
    assert len(calls.served) == SHARE
    assert not shares._calls
    with await shares.enter("team"):
        pass
    assert not shares._calls
