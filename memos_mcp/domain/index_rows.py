"""The rows that the index is made of, as the services see them: what points should hold, and what a change affects."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.index import ItemState, SequenceRange

FormerPosition: TypeAlias = Mapping[str, Any]
"""A position in a session that a memory has had, as the queue recorded it."""


class Neighbour(NamedTuple):
    """A memory beside another one, in its session or its file. `offset` is -1 for the one before it, 1 for the next."""

    offset: int
    content: str


class Context(NamedTuple):
    """The neighbours of a memory by offset, and the digest of their offsets, ids and versions."""

    digest: str
    neighbours: Sequence[Neighbour]


class IndexedRows(Protocol):
    """The rows of one kind that the index should hold, of any namespace. They are walked by their sequence numbers."""

    async def count(self) -> int: ...

    async def range_end(self, first: int, limit: int) -> int | None:
        """Return the sequence number of the `limit`th row from `first` on, None when there are fewer."""

    async def states(self, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        """Return the state of those of these items, or of the rows in this range, that the index should hold."""

    async def digest(self, of: SequenceRange) -> str:
        """Return `states_digest` of the states in this range, without reading them one by one."""

    async def contexts(self, ids: Sequence[UUID], max_chars: int) -> dict[UUID, Context]:
        """Return the neighbours of those that have any: in the same session, or else in the same file.

        A memory that several files share has those of the first, by source and path. A memory that is superseded or
        expires is no neighbour and has none, but in a file its offset still counts. A long neighbour is cut to its last
        `max_chars` when it is before the memory, to its first when it is after.
        """

    async def around(self, ids: Sequence[UUID], former_positions: Sequence[FormerPosition]) -> dict[UUID, ItemState]:
        """Return the states of the other items whose neighbours these items are or were, or would be if they were live.

        Those that are queued and not claimed are omitted: their neighbours are read when they are claimed.
        """
