"""What the reader of a format finds in a file: memories, and parts that are not imported, each with its position."""

from dataclasses import dataclass
from typing import TypeAlias

from memos_mcp.domain.memory import NewMemory


@dataclass(frozen=True, slots=True)
class ForeignMemory:
    """A memory of another system, and where it is in the export."""

    where: str
    new: NewMemory


@dataclass(frozen=True, slots=True)
class NotImported:
    """A part that is not imported. Those with the same reason are counted together.

    `refused`: it should be a memory, and is invalid. Otherwise it is none, such as an image or the call of a tool.
    """

    where: str
    reason: str
    refused: bool = False


Entry: TypeAlias = ForeignMemory | NotImported
