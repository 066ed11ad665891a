"""A type of line of an export."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineType:
    """One type of line.

    columns: the members of a line besides its type. count, read: the number of lines and the lines of the namespace $1,
    or of all if it is NULL, in the order in which they are imported. insert: stores the lines $1 that are new; $2 has
    the ids under which some memories are stored already, by theirs, and $3 says whether numbers are kept. stored: the
    positions of the lines that are stored, and whether with the same values. The last two take fewer parameters if they
    need no more.
    """

    name: str
    columns: frozenset[str]
    count: str
    read: str
    insert: str
    stored: str
    insert_parameters: int = 1
    stored_parameters: int = 1
    later_columns: frozenset[str] = frozenset()
    """The columns that lines of an older version lack; its rows have their defaults."""


def columns(names: str) -> frozenset[str]:
    """Return the names in a text, which are separated by spaces."""
    return frozenset(names.split())
