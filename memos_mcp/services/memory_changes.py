"""Corrects, forgets, erases and restores memories."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NoReturn
from uuid import UUID

import anyio

from memos_mcp.domain.errors import Conflict, Invalid, NotFound, Unavailable
from memos_mcp.domain.memory import MemoryFilter
from memos_mcp.domain.memory_changes import (
    Changed,
    ErasedVectors,
    Forgotten,
    MemoryChange,
    MemoryChangeStore,
    MemoryEvent,
    Selection,
)
from memos_mcp.domain.scope import Scope
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.projector import Projector

CONTENTS: Final = 100
"""Contents that are read at once, each up to 256 KiB."""

ONE_PASSAGE_CHARS: Final = 100
"""A text up to this length is one passage for every model: windows have 128 tokens and more."""

PRUNE_SECONDS: Final = 6 * 3600.0
ID_DIGITS: Final = 32
MAX_NAMED: Final = 5

UNCONFIRMED: Final = (
    "A filter forgets only what was counted before: call with the same filter and dry_run=true, "
    "then with expect=<the count it returned>."
)
NOT_BOTH: Final = "Give either memory_ids or a filter with at least one condition."


class MemoryChanges:
    """Changes what is stored. `now` is the clock; a change waits `wait` seconds for the index."""

    def __init__(
        self,
        store: MemoryChangeStore,
        projector: Projector,
        indexer: Indexer,
        now: Callable[[], datetime],
        wait: float,
    ) -> None:
        self._store = store
        self._projector = projector
        self._indexer = indexer
        self._now = now
        self._wait = wait

    async def update(self, scope: Scope, change: MemoryChange) -> Changed:
        """Change one memory durably, then wait a short time until it is indexed."""
        change.check()
        changed = await self._store.update(scope, change, self._now())
        indexed = await self._indexer.wait_until_indexed(
            "memory", changed.memory_id, changed.version, fresh=changed.changed, seconds=self._wait
        )
        return replace(changed, indexed=indexed)

    async def select(self, scope: Scope, selection: Selection, *, erase: bool = False) -> Forgotten:
        """Return what `forget`, or `erase`, would concern; raise `Invalid` unless it is ids or a filter."""
        _check(selection)
        return (await self._targets(scope, selection, erase=erase))[1]

    async def forget(self, scope: Scope, selection: Selection, expect: int | None = None) -> Forgotten:
        """Hide memories, with their earlier versions, from every answer until they are restored."""
        ids, answer = await self._confirmed(scope, selection, expect, erase=False)
        await self._store.forget(scope, ids, self._now())
        return replace(answer, dropped=await self._dropped(ids))

    async def erase(self, scope: Scope, selection: Selection, expect: int | None = None) -> Forgotten:
        """Delete memories, with their earlier versions, what the history kept of them, and their vectors."""
        ids, answer = await self._confirmed(scope, selection, expect, erase=True)
        vectors = await self._vectors(scope, ids)
        await self._store.erase(scope, ids, vectors, self._now())
        dropped = await self._dropped(ids)
        # An indexer that had read such a memory before may have stored its vector after the deletion.
        await self._store.erase_vectors(vectors)
        return replace(answer, dropped=dropped)

    async def restore(self, scope: Scope, memory_ids: Sequence[UUID]) -> set[UUID]:
        """Restore forgotten memories, except those whose content was stored again; return the restored ones."""
        return await self._store.restore(scope, memory_ids, self._now())

    async def history(self, scope: Scope, memory_id: UUID) -> list[MemoryEvent]:
        """Return the events of a memory, oldest first."""
        return await self._store.history(scope.namespace, memory_id)

    async def keep_history(self, age: timedelta) -> NoReturn:
        """Delete older events than this, now and every few hours; erasures stay."""
        while True:
            with suppress(Unavailable):
                await self._store.prune(self._now() - age)
            await anyio.sleep(PRUNE_SECONDS)

    async def resolve(self, scope: Scope, beginning: str) -> UUID:
        """Return the id of the memory, in any state, whose digits begin so; raise `NotFound`, `Invalid` for several."""
        digits = beginning.replace("-", "")
        low, high = UUID(digits.ljust(ID_DIGITS, "0")), UUID(digits.ljust(ID_DIGITS, "f"))
        if low == high:
            return low
        found = await self._store.ids_between(scope.namespace, low, high, MAX_NAMED + 1)
        if not found:
            raise NotFound(f"No memory of namespace {scope.namespace} has an id that begins with {beginning}.")
        if len(found) > 1:
            named = ", ".join(map(str, found[:MAX_NAMED])) + (" and more" if len(found) > MAX_NAMED else "")
            raise Invalid(f"Several ids begin with {beginning}: {named}. Give more digits.")
        return found[0]

    async def _targets(self, scope: Scope, selection: Selection, *, erase: bool) -> tuple[list[UUID], Forgotten]:
        """Return the ids of all that is concerned, and the answer about it."""
        found = await self._store.targets(scope, selection, self._now(), forgotten=erase)
        ids = {target.memory_id: None for target in found}
        selected = [target.memory_id for target in found if not target.earlier]
        missing = [one for one in dict.fromkeys(selection.memory_ids or ()) if one not in ids]
        return list(ids), Forgotten(selected, len(ids) - len(selected), missing)

    async def _confirmed(
        self, scope: Scope, selection: Selection, expect: int | None, *, erase: bool
    ) -> tuple[list[UUID], Forgotten]:
        """Return the same as `_targets`; raise `Conflict` if it is not as many as the caller expects."""
        _check(selection)
        if selection.memory_ids is None and expect is None:
            raise Invalid(UNCONFIRMED)
        ids, answer = await self._targets(scope, selection, erase=erase)
        if expect is not None and expect != len(answer.memory_ids):
            raise Conflict(
                f"{len(answer.memory_ids):,} memories match, not {expect:,}: nothing was forgotten. Call with "
                "dry_run=true to see which, then with expect=<their count>."
            )
        return ids, answer

    async def _vectors(self, scope: Scope, ids: Sequence[UUID]) -> ErasedVectors:
        hashes, long = set[bytes](), False
        for start in range(0, len(ids), CONTENTS):
            contents = await self._store.contents(scope, ids[start : start + CONTENTS])
            hashes |= await self._projector.digests(contents)
            long |= any(len(content) > ONE_PASSAGE_CHARS for content in contents)
        return ErasedVectors(sorted(hashes), self._projector.model if long else None)

    async def _dropped(self, ids: Sequence[UUID]) -> bool:
        return await self._indexer.wait_until_dropped("memory", ids, self._wait)


def _check(selection: Selection) -> None:
    if (selection.memory_ids is None) == (selection.filter in (None, MemoryFilter())):
        raise Invalid(NOT_BOTH)
