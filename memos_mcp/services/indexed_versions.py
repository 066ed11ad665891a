"""Lets a writer wait until what it wrote is in the index, and others learn what has changed."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias
from uuid import UUID

import anyio

from memos_mcp.domain.index import ItemKind
from memos_mcp.domain.index_queue import Indexed

MAX_VERSIONS: Final = 4_096


Changed: TypeAlias = Callable[[], None]


class IndexedVersions:
    """The versions that were indexed last; callers can wait for one, or watch an item."""

    def __init__(self) -> None:
        self._versions: OrderedDict[tuple[ItemKind, UUID], int] = OrderedDict()
        self._watches: defaultdict[tuple[ItemKind, UUID], list[Changed]] = defaultdict(list)
        self._changed = anyio.Event()

    def record(self, indexed: Iterable[Indexed]) -> None:
        """Remember what the index holds, unless a later version is known already, and wake all waiting callers."""
        for kind, item_id, version in indexed:
            known = self._versions.get((kind, item_id), 0)
            self._versions[kind, item_id] = max(version, known)
            self._versions.move_to_end((kind, item_id))
            if len(self._versions) > MAX_VERSIONS:
                self._versions.popitem(last=False)
            if version == 0 or version > known:
                for changed in list(self._watches.get((kind, item_id), ())):
                    changed()
        self._changed.set()
        self._changed = anyio.Event()

    def watch(self, kind: ItemKind, item_id: UUID, changed: Changed) -> Callable[[], None]:
        """Call `changed` whenever the index has another version of an item, or none any more; return what ends that.

        Now and then it is called without a change. Behind a pooler without sessions, it is only called
        for what this process indexes.
        """
        watches = self._watches[kind, item_id]
        watches.append(changed)

        def end() -> None:
            watches.remove(changed)
            if not watches:
                self._watches.pop((kind, item_id), None)

        return end

    async def change(self) -> None:
        """Return when something was indexed."""
        await self._changed.wait()

    async def wait(self, kind: ItemKind, item_id: UUID, version: int) -> None:
        """Return when the index holds this version or a later one."""
        while self._versions.get((kind, item_id), 0) < version:
            await self._changed.wait()
