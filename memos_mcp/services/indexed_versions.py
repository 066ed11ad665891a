"""Lets a writer wait until what it wrote is in the index."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import anyio

from memos_mcp.domain.index import ItemKind
from memos_mcp.domain.index_queue import Indexed

MAX_VERSIONS: Final = 4_096


class IndexedVersions:
    """The versions that were indexed last; callers can wait for one."""

    def __init__(self) -> None:
        self._versions: OrderedDict[tuple[ItemKind, UUID], int] = OrderedDict()
        self._changed = anyio.Event()

    def record(self, indexed: Iterable[Indexed]) -> None:
        """Remember what the index holds, unless a later version is known already, and wake all waiting callers."""
        for kind, item_id, version in indexed:
            self._versions[kind, item_id] = max(version, self._versions.get((kind, item_id), 0))
            self._versions.move_to_end((kind, item_id))
            if len(self._versions) > MAX_VERSIONS:
                self._versions.popitem(last=False)
        self._changed.set()
        self._changed = anyio.Event()

    async def change(self) -> None:
        """Return when something was indexed."""
        await self._changed.wait()

    async def wait(self, kind: ItemKind, item_id: UUID, version: int) -> None:
        """Return when the index holds this version or a later one."""
        while self._versions.get((kind, item_id), 0) < version:
            await self._changed.wait()
