"""The lines of a text with what they cost in a model's window, and where to cut them when nothing better is known."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

LIMIT: Final = 220
"""What a chunk may cost, its path and name included: one passage of a window of 254 in nearly every case.

Calibrated with MiniLM's own tokenizer on 25-line windows of Django, Go, Rust's registry, RxJS, React Native's Java and
/usr/include: its tokens are 0.93 (Markdown) to 1.06 (C) times this cost in the median, 1.26 times in the worst
twentieth. Characters tell less: 2.6 (C) to 3.8 (Python) make a token, and in the worst hundredth half as many.
"""

_PIECE: Final = re.compile(r"[A-Za-z]{1,5}|\d{1,3}|[^\sA-Za-z\d]")
"""About what the tokenizer makes a token of."""

_LAST_PART: Final = 0.4
"""The share of a stretch in which a better place to cut is looked for."""

_LARGER_HALF: Final = 0.65
"""The most that one of the last two parts takes."""


class Stretch(NamedTuple):
    """Some lines, counted from 0, the end excluded."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextLines:
    """A text by lines; `sums[n]` is what the first n cost."""

    texts: Sequence[str]
    sums: Sequence[int]

    def cost(self, start: int, end: int) -> int:
        return self.sums[end] - self.sums[start]


def lines_of(text: str) -> TextLines:
    """Part a text at its newlines, and nowhere else: so do editors and parsers."""
    texts = text.split("\n")
    return TextLines(texts, [0, *accumulate(map(cost, texts))])


def cost(text: str) -> int:
    """Return about how many tokens a text has."""
    return len(_PIECE.findall(text))


def cut(lines: TextLines, stretch: Stretch, room: int) -> Iterator[Stretch]:
    """Yield parts of a stretch that cost at most `room`, or are one line, by paragraphs where it can be."""
    start, end = stretch
    while (rest := lines.cost(start, end)) > room and end - start > 1:
        # The last two share what is left, so that no crumb remains; those before stay where they are as a text grows.
        most = room if rest >= 2 * room else min(room, rest * _LARGER_HALF)
        latest = max(bisect_right(lines.sums, lines.sums[start] + most) - 1, start + 1)
        least = lines.sums[start] + most * (1 - _LAST_PART)
        earliest = next((at for at in range(start + 1, latest) if lines.sums[at] >= least), latest)
        place = max(range(earliest, latest + 1), key=lambda at: (*_seam(lines, at), at))
        yield Stretch(start, place)
        start = place
    yield Stretch(start, end)


def _seam(lines: TextLines, at: int) -> tuple[bool, int]:
    """How good it is to cut before a line: after a blank one best, then where it is least indented."""
    if at >= len(lines.texts):
        return True, 0
    line = lines.texts[at]
    return not lines.texts[at - 1].strip(), len(line.lstrip()) - len(line)
