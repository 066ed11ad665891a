"""Remembers the states at which this process wrote items to an index that no other process writes to."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from memos_mcp.domain.index import ItemKind, ItemState, VectorIndex

MAX_STATES: Final = 16_384
"""Neighbours are mostly written soon after one another, so the states of the last writes answer most questions."""


class HeldStates:
    """The states that the index holds. An index of several processes is asked each time."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._generation: str | None = None
        self._states: OrderedDict[tuple[ItemKind, UUID], ItemState | None] = OrderedDict()

    def record(self, kind: ItemKind, states: Mapping[UUID, ItemState | None]) -> None:
        """Remember the states at which these items were written, None for those that were removed."""
        self._forget_another_generation()
        for item, state in states.items():
            self._states[kind, item] = state
            self._states.move_to_end((kind, item))
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)

    async def states(self, kind: ItemKind, items: Sequence[UUID]) -> dict[UUID, ItemState | None]:
        """Return the state of each of these items, None or nothing for those that the index does not hold."""
        self._forget_another_generation()
        known = {item: self._states[kind, item] for item in items if (kind, item) in self._states}
        unknown = [item for item in items if item not in known]
        return {**known, **(await self._index.states(kind, unknown))} if unknown else known

    def _forget_another_generation(self) -> None:
        if not self._index.exclusive or self._index.generation != self._generation:
            self._states.clear()
            self._generation = self._index.generation
