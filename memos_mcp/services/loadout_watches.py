"""Lets others learn that the definition of a loadout has changed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

import anyio

from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.loadout import Loadout, LoadoutStore

POLL_SECONDS: Final = 1.0
"""Loadouts are files that people write, and reading one takes less than a millisecond."""

_Changed: TypeAlias = Callable[[], None]
_NameAndNamespace: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Watched:
    known: Loadout | None
    watchers: list[_Changed] = field(default_factory=list)


class LoadoutWatches:
    """Watches loadouts while `run` runs: each is read once a second however many watch it, and none if nobody does."""

    def __init__(self, store: LoadoutStore) -> None:
        self._store = store
        self._watched: dict[_NameAndNamespace, _Watched] = {}
        self._begun = anyio.Event()

    async def watch(self, name: str, namespace: str) -> Callable[[_Changed], Callable[[], None]]:
        """Return what begins to watch a loadout: it takes what to call upon a change, and returns what ends that.

        A loadout that cannot be read any more has changed, too. Raises `NotFound` and `Invalid` for one that cannot be
        read now.
        """
        return partial(self._begin, (name, namespace), await self._store.get(name, namespace))

    async def run(self) -> None:
        """Compare what is watched with what is known of it, until cancelled."""
        while True:
            if not self._watched:
                self._begun = anyio.Event()
                await self._begun.wait()
            await anyio.sleep(POLL_SECONDS)
            for key, watched in list(self._watched.items()):
                await self._compare(key, watched)

    def _begin(self, key: _NameAndNamespace, known: Loadout, changed: _Changed) -> Callable[[], None]:
        self._watched.setdefault(key, _Watched(known)).watchers.append(changed)
        self._begun.set()
        return partial(self._end, key, changed)

    def _end(self, key: _NameAndNamespace, changed: _Changed) -> None:
        watchers = self._watched[key].watchers
        watchers.remove(changed)
        if not watchers:
            del self._watched[key]

    async def _compare(self, key: _NameAndNamespace, watched: _Watched) -> None:
        try:
            found = await self._store.get(*key)
        except MemosError:
            found = None
        if found != watched.known:
            watched.known = found
            for changed in list(watched.watchers):
                changed()
