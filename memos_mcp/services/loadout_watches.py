"""Lets others learn that the definition of a loadout has changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.loadout import Loadout, LoadoutStore

POLL_SECONDS: Final = 1.0
"""Loadouts are files that people write, and reading one takes less than a millisecond."""


@dataclass(slots=True, eq=False)
class _LoadoutWatch:
    name: str
    namespace: str
    known: Loadout | None
    changed: Callable[[], None]


class LoadoutWatches:
    """Watches loadouts while `run` runs, which reads nothing when there are none to watch."""

    def __init__(self, store: LoadoutStore) -> None:
        self._store = store
        self._watches: list[_LoadoutWatch] = []
        self._begun = anyio.Event()

    async def watch(self, name: str, namespace: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Return what begins to watch a loadout: it takes what to call upon a change, and returns what ends that.

        A loadout that cannot be read any more has changed, too. Raises `NotFound` and `Invalid` for one that cannot be
        read now.
        """
        known = await self._store.get(name, namespace)

        def begin(changed: Callable[[], None]) -> Callable[[], None]:
            watch = _LoadoutWatch(name, namespace, known, changed)
            self._watches.append(watch)
            self._begun.set()
            return lambda: self._watches.remove(watch)

        return begin

    async def run(self) -> None:
        """Compare what is watched with what is known of it, until cancelled."""
        while True:
            if not self._watches:
                self._begun = anyio.Event()
                await self._begun.wait()
            await anyio.sleep(POLL_SECONDS)
            for watch in list(self._watches):
                await self._compare(watch)

    async def _compare(self, watch: _LoadoutWatch) -> None:
        try:
            found = await self._store.get(watch.name, watch.namespace)
        except MemosError:
            found = None
        if found != watch.known and watch in self._watches:
            watch.known = found
            watch.changed()
