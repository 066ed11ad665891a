"""What remains of erased memories, as far as the record can show it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Erasures:
    """Counts of erased memories.

    unpurged: erased since the files were last rewritten. stored: those that the record has again, which only a restored
    backup can do.
    """

    erased: int = 0
    unpurged: int = 0
    stored: int = 0


class ErasureStore(Protocol):
    """The record of erasures."""

    async def count(self) -> Erasures: ...

    async def purge(self) -> bool:
        """Rewrite the tables that held contents, while all writes wait; return whether the server's log was emptied."""
