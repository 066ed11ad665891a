"""Makes chunks of units: what is small goes together, what is unnamed is called after what it is part of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memos_mcp.ingest.text_lines import LIMIT, Stretch, TextLines, cost

_SMALL: Final = LIMIT // 4
"""Of this cost a definition deserves a chunk of its own."""

_TINY: Final = LIMIT // 14
"""Below this cost nothing does: it goes with what is beside it."""

_NAMES_ROOM: Final = LIMIT // 14
_LEAST_ROOM: Final = LIMIT // 3
_MOST_NAMES: Final = 8
_MARK_COST: Final = 3
"""Of the line that says that something is left out."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a unit stands in: its names, outermost first, and the lines that open it (a signature) if it has any."""

    names: tuple[str, ...] = ()
    head: Stretch | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """Lines that are not cut further. `loose` are statements, which flow together; a definition stands for itself."""

    level: Level
    names: tuple[str, ...]
    lines: Stretch
    loose: bool = True


@dataclass(frozen=True, slots=True)
class ChunkUnits:
    """Units that follow one another in one level and make a chunk."""

    level: Level
    names: tuple[str, ...]
    lines: Stretch

    @property
    def symbol(self) -> str | None:
        """The names in it, or the name of its level."""
        if self.names:
            shown = ", ".join(self.names[:_MOST_NAMES])
            return f"{shown}, …" if len(self.names) > _MOST_NAMES else shown
        return self.level.names[-1] if self.level.names else None

    @property
    def enclosing(self) -> tuple[str, ...]:
        return self.level.names if self.names else self.level.names[:-1]

    @property
    def repeats_head(self) -> bool:
        """Whether it is the inside of something whose opening is elsewhere."""
        return not self.names and self.level.head is not None and self.lines.start > self.level.head.start


def space(path: str) -> int:
    """Return what a chunk of a file may cost beside its path and the names in it."""
    return LIMIT - cost(path) - _NAMES_ROOM


def room(level: Level, lines: TextLines, space: int) -> int:
    """Return what the lines of a chunk of this level may cost beside the level's names and its repeated head."""
    taken = sum(cost(name) + 1 for name in level.names)
    if level.head is not None:
        taken += lines.cost(*level.head) + _MARK_COST
    return max(space - taken, _LEAST_ROOM)


def pack(units: Iterable[Unit], lines: TextLines, space: int) -> Iterator[ChunkUnits]:
    """Put neighbours together where that makes no chunk too large."""
    waiting: list[Unit] = []
    flow = True
    for unit in units:
        flows = _flows(unit, lines)
        if waiting and not _joins(waiting, unit, lines, space, flow=flow and flows):
            yield _close(waiting)
            waiting, flow = [], True
        waiting.append(unit)
        flow = flow and flows
    if waiting:
        yield _close(waiting)


def _joins(waiting: Sequence[Unit], unit: Unit, lines: TextLines, space: int, *, flow: bool) -> bool:
    start, middle, end = waiting[0].lines.start, unit.lines.start, unit.lines.end
    before, after = lines.cost(start, middle), lines.cost(middle, end)
    if unit.level != waiting[0].level or before + after > room(unit.level, lines, space):
        return False
    return flow or min(before, after) < _TINY


def _flows(unit: Unit, lines: TextLines) -> bool:
    return unit.loose or lines.cost(*unit.lines) < _SMALL


def _close(waiting: Sequence[Unit]) -> ChunkUnits:
    level = waiting[0].level
    stretch = Stretch(waiting[0].lines.start, waiting[-1].lines.end)
    # A class with its attributes is called after the class, not after them.
    opens = level.head is not None and stretch.start <= level.head.start and all(unit.loose for unit in waiting)
    names = () if opens else tuple(dict.fromkeys(name for unit in waiting for name in unit.names))
    return ChunkUnits(level, names, stretch)
