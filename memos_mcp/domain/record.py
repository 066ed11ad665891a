"""The record as a backup, a restore and an upgrade see it: tables of text rows, read in one snapshot."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Write: TypeAlias = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class RecordTable:
    """A table of the record: the columns that are stored and not computed, and how many rows it has."""

    name: str
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class RecordOutline:
    """What a snapshot holds: its tables, and what is needed to create them again.

    migrations: the checksum of each migration that was applied, by name.
    sequences: the last value of each sequence that numbers rows of the tables.
    """

    migrations: Mapping[str, str]
    tables: tuple[RecordTable, ...]
    sequences: Mapping[str, int]

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)


class RecordSource(Protocol):
    """A snapshot of the record: a transaction in Postgres, or a file."""

    @property
    def outline(self) -> RecordOutline: ...

    async def copy_rows(self, table: RecordTable, write: Write) -> None:
        """Write all rows of a table, in the text format of Postgres' COPY: a line each."""
