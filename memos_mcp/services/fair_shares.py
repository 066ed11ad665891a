"""Keeps the calls of one namespace from crowding out those of others."""

import os
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from math import inf
from typing import Final

import anyio

SHARE: Final = max(1, (os.cpu_count() or 1) // 2)
"""How many calls of a namespace are served at the same time while other namespaces call, too. Each call keeps about one
processor busy, in the event loop, the model, the index or Postgres: the other half is for the others."""

CONTENDED_SECONDS: Final = 1.0
"""How long after its last call a namespace still counts. Between the calls of a client that makes one after the other,
the queue of another namespace must not rush in."""

FLOOD: Final = 2
"""A namespace with more than this many times the calls of one that is being served gives way to it. A call cannot be
interrupted, so what is served beside it costs the other one time, even within the share."""

YIELD_SECONDS: Final = 0.1
"""For how long at most a namespace gives way, counted from when a call of it was last admitted."""


class HeldShare:
    """A part of a namespace's share, for the call in this context: until its end, or until it is released before."""

    __slots__ = ("_namespace", "_shares", "_token")

    def __init__(self, shares: "FairShares", namespace: str) -> None:
        self._shares: FairShares | None = shares
        self._namespace = namespace

    def __enter__(self) -> None:
        self._token: Token[HeldShare | None] = _current.set(self)

    def __exit__(self, *_error: object) -> None:
        _current.reset(self._token)
        self.release()

    def release(self) -> None:
        """Return it. Only the first time counts."""
        shares, self._shares = self._shares, None
        if shares is not None:
            shares.leave(self._namespace)


_current: Final = ContextVar[HeldShare | None]("what the tool call in this context holds of its share", default=None)


def release_share() -> None:
    """Let other calls of the namespace go ahead: the call in this context will only wait from now on."""
    held = _current.get()
    if held is not None:
        held.release()


@dataclass(slots=True)
class _Calls:
    """The calls of one namespace: those that are served, and its queue."""

    served: int = 0
    waiting: deque[anyio.Event] = field(default_factory=deque)
    admitted_at: float = -inf

    @property
    def total(self) -> int:
        return self.served + len(self.waiting)


class FairShares:
    """The shares of all namespaces. Alone, a namespace has no limit; what exceeds its share waits in its own queue.

    There is an entry only for a namespace that has calls right now. `seconds` is a clock that nobody sets.
    """

    def __init__(self, share: int = SHARE, seconds: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._seconds = seconds
        self._calls = dict[str, _Calls]()
        self._last, self._last_at = "", -CONTENDED_SECONDS
        self._before_at = -CONTENDED_SECONDS
        """When a namespace other than the last one was last there."""

    async def enter(self, namespace: str) -> HeldShare:
        """Return a part of the share of a namespace; wait for it if need be."""
        self._note(namespace)
        calls = self._calls.setdefault(namespace, _Calls())
        admitted = anyio.Event()
        calls.waiting.append(admitted)
        try:
            self._admit()
            await self._wait(admitted)
        except BaseException:
            if admitted.is_set():
                self.leave(namespace)
            else:
                calls.waiting.remove(admitted)
                self._forget(namespace)
            raise
        return HeldShare(self, namespace)

    def leave(self, namespace: str) -> None:
        """Take back what `enter` has given, and admit those that wait and fit in now."""
        self._note(namespace)
        self._calls[namespace].served -= 1
        self._admit()
        self._forget(namespace)

    async def _wait(self, admitted: anyio.Event) -> None:
        while not admitted.is_set():
            with anyio.move_on_after(YIELD_SECONDS):
                await admitted.wait()
                return
            self._admit()

    def _admit(self) -> None:
        for namespace, calls in self._calls.items():
            while calls.waiting and self._admits(namespace, calls):
                calls.served += 1
                calls.admitted_at = self._seconds()
                calls.waiting.popleft().set()

    def _admits(self, namespace: str, calls: _Calls) -> bool:
        if calls.served >= self._share:
            return self._is_alone(namespace)
        return not self._gives_way(calls)

    def _is_alone(self, namespace: str) -> bool:
        others_at = self._before_at if namespace == self._last else self._last_at
        others_are_served = any(calls.served for name, calls in self._calls.items() if name != namespace)
        return not others_are_served and self._last_at - others_at >= CONTENDED_SECONDS

    def _gives_way(self, calls: _Calls) -> bool:
        if self._seconds() - calls.admitted_at >= YIELD_SECONDS:
            return False
        return any(calls.total > FLOOD * other.total for other in self._calls.values() if other.served)

    def _note(self, namespace: str) -> None:
        if namespace != self._last:
            self._last, self._before_at = namespace, self._last_at
        self._last_at = self._seconds()

    def _forget(self, namespace: str) -> None:
        if not self._calls[namespace].total:
            del self._calls[namespace]
