"""Keeps the calls of one namespace from crowding out those of others."""

import os
import time
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Final

import anyio

SHARE: Final = max(1, (os.cpu_count() or 1) // 2)
"""How many calls of a namespace are served at the same time while other namespaces call, too. Each call keeps about one
processor busy, in the event loop, the model, the index or Postgres: the other half is for the others."""

CONTENDED_SECONDS: Final = 1.0
"""How long after its last call a namespace still counts. Between the calls of a client that makes one after the other,
the queue of another namespace must not rush in."""


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


class FairShares:
    """The shares of all namespaces. Alone, a namespace has no limit; what exceeds its share waits in its own queue.

    There is an entry only for a namespace that has calls right now. `seconds` is a clock that nobody sets.
    """

    def __init__(self, share: int = SHARE, seconds: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._seconds = seconds
        self._served = Counter[str]()
        self._waiting = dict[str, deque[anyio.Event]]()
        self._last, self._last_at = "", -CONTENDED_SECONDS
        self._before_at = -CONTENDED_SECONDS
        """When a namespace other than the last one was last there."""

    async def enter(self, namespace: str) -> HeldShare:
        """Return a part of the share of a namespace; wait for it if need be."""
        self._note(namespace)
        if self._admits(namespace):
            self._served[namespace] += 1
        else:
            await self._wait(namespace)
        return HeldShare(self, namespace)

    def leave(self, namespace: str) -> None:
        """Take back what `enter` has given, and admit those that wait and fit in now."""
        self._note(namespace)
        self._served[namespace] -= 1
        queue = self._waiting.get(namespace, ())
        while queue and self._admits(namespace):
            self._served[namespace] += 1
            queue.popleft().set()
        if not queue:
            self._waiting.pop(namespace, None)
        if not self._served[namespace]:
            del self._served[namespace]

    async def _wait(self, namespace: str) -> None:
        admitted = anyio.Event()
        queue = self._waiting.setdefault(namespace, deque())
        queue.append(admitted)
        try:
            await admitted.wait()
        except BaseException:
            if admitted.is_set():
                self.leave(namespace)
            else:
                queue.remove(admitted)
            raise

    def _note(self, namespace: str) -> None:
        if namespace != self._last:
            self._last, self._before_at = namespace, self._last_at
        self._last_at = self._seconds()

    def _admits(self, namespace: str) -> bool:
        """Whether one more call may be served. The namespace is the last one that was noted."""
        if self._served[namespace] < self._share:
            return True
        others_are_served = len(self._served) > 1
        return not others_are_served and self._last_at - self._before_at >= CONTENDED_SECONDS
