"""Makes chunks of units: small neighbours are merged, and an unnamed part is named after what encloses it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memos_mcp.ingest.text.text_lines import LIMIT, LineRange, TextLines, cost

_SMALL: Final = LIMIT // 4
"""A definition of this cost gets a chunk of its own."""

_TINY: Final = LIMIT // 14
"""Anything below this cost is merged with a neighbour."""

_NAMES_COST: Final = LIMIT // 14
MIN_SPACE: Final = LIMIT // 3
_MAX_NAMES: Final = 8
_ELLIPSIS_COST: Final = 3
"""The cost of the line that marks an omission."""


@dataclass(frozen=True, slots=True)
class Level:
    """What encloses a unit: its names, outermost first, and the lines of its signature if it has one."""

    names: tuple[str, ...] = ()
    head: LineRange | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines that are not cut further. `loose` units are statements, which are merged; definitions stay separate."""

    level: Level
    names: tuple[str, ...]
    lines: LineRange
    loose: bool = True


@dataclass(frozen=True, slots=True)
class ChunkUnits:
    """Consecutive units of one level that make a chunk."""

    level: Level
    names: tuple[str, ...]
    lines: LineRange

    @property
    def symbol(self) -> str | None:
        """The names in it, or the name of its level."""
        if self.names:
            shown = ", ".join(self.names[:_MAX_NAMES])
            return f"{shown}, …" if len(self.names) > _MAX_NAMES else shown
        return self.level.names[-1] if self.level.names else None

    @property
    def enclosing(self) -> tuple[str, ...]:
        return self.level.names if self.names else self.level.names[:-1]

    @property
    def defined(self) -> tuple[str, ...]:
        """The names in it, or the name of its level if it begins with its signature."""
        return self.names or (() if self.repeats_head else self.level.names[-1:])

    @property
    def repeats_head(self) -> bool:
        """Whether it is an inner part of a definition whose signature is in another chunk."""
        return not self.names and self.level.head is not None and self.lines.start > self.level.head.start


def chunk_space(path: str) -> int:
    """Return the maximum cost of a chunk of a file without its path and the names in it."""
    return LIMIT - cost(path) - _NAMES_COST


def max_cost(level: Level, lines: TextLines, space: int) -> int:
    """Return the maximum cost of a chunk's own lines, without the names of its level and the repeated signature."""
    taken = sum(cost(name) + 1 for name in level.names)
    if level.head is not None:
        taken += lines.cost(*level.head) + _ELLIPSIS_COST
    return max(space - taken, MIN_SPACE)


def merge_units(units: Iterable[Unit], lines: TextLines, space: int) -> Iterator[ChunkUnits]:
    """Merge neighbours where the chunk does not become too large."""
    pending: list[Unit] = []
    all_mergeable = True
    for unit in units:
        mergeable = unit.loose or lines.cost(*unit.lines) < _SMALL
        if pending and not _joins(pending, unit, lines, space, mergeable=all_mergeable and mergeable):
            yield _merged(pending)
            pending, all_mergeable = [], True
        pending.append(unit)
        all_mergeable = all_mergeable and mergeable
    if pending:
        yield _merged(pending)


def _joins(pending: Sequence[Unit], unit: Unit, lines: TextLines, space: int, *, mergeable: bool) -> bool:
    start, middle, end = pending[0].lines.start, unit.lines.start, unit.lines.end
    before, after = lines.cost(start, middle), lines.cost(middle, end)
    if unit.level != pending[0].level or before + after > max_cost(unit.level, lines, space):
        return False
    return mergeable or min(before, after) < _TINY


def _merged(units: Sequence[Unit]) -> ChunkUnits:
    level = units[0].level
    lines = LineRange(units[0].lines.start, units[-1].lines.end)
    # A class with its attributes is named after the class, not after them.
    has_head = level.head is not None and lines.start <= level.head.start and all(unit.loose for unit in units)
    names = () if has_head else tuple(dict.fromkeys(name for unit in units for name in unit.names))
    return ChunkUnits(level, names, lines)
