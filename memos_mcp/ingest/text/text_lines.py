"""The lines of a text with what they cost in a model's window, and where to cut them when nothing better is known."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

LIMIT: Final = 220
"""The maximum cost of a chunk with its path and name: one passage of a window of 254 in nearly every case.

Calibrated with MiniLM's own tokenizer on 25-line windows of Django, Go, Rust's registry, RxJS, React Native's Java and
/usr/include: its tokens are 0.93 (Markdown) to 1.06 (C) times this cost in the median, 1.26 times in the worst
twentieth. Characters are a worse measure: 2.6 (C) to 3.8 (Python) make a token, in the worst hundredth half as many.
"""

_TOKEN: Final = re.compile(r"[A-Za-z]{1,5}|\d{1,3}|[^\sA-Za-z\d]")
"""Approximately a token of the tokenizer."""

_CUT_WINDOW: Final = 0.4
"""The share of a part, at its end, that is searched for a better line to cut at."""

_MAX_LAST_SHARE: Final = 0.65
"""The largest share that one of the last two parts takes."""


class LineRange(NamedTuple):
    """Some lines, counted from 0, the end excluded."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextLines:
    """A text by lines; `sums[n]` is the cost of the first n."""

    texts: Sequence[str]
    sums: Sequence[int]

    def cost(self, start: int, end: int) -> int:
        return self.sums[end] - self.sums[start]


def lines_of(text: str) -> TextLines:
    """Split a text at its newlines only, as editors and parsers do."""
    texts = text.split("\n")
    return TextLines(texts, [0, *accumulate(map(cost, texts))])


def cost(text: str) -> int:
    """Return the approximate number of tokens of a text."""
    return len(_TOKEN.findall(text))


def cut(lines: TextLines, whole: LineRange, max_cost: int) -> Iterator[LineRange]:
    """Yield parts that cost at most `max_cost` or are a single line; cut between paragraphs where possible."""
    start, end = whole
    while (rest := lines.cost(start, end)) > max_cost and end - start > 1:
        # The last two parts share the rest, so that none is tiny; earlier cuts do not move when the text grows.
        largest = max_cost if rest >= 2 * max_cost else min(max_cost, rest * _MAX_LAST_SHARE)
        latest = max(bisect_right(lines.sums, lines.sums[start] + largest) - 1, start + 1)
        smallest = lines.sums[start] + largest * (1 - _CUT_WINDOW)
        earliest = next((at for at in range(start + 1, latest) if lines.sums[at] >= smallest), latest)
        best = max(range(earliest, latest + 1), key=lambda at: (*_cut_quality(lines, at), at))
        yield LineRange(start, best)
        start = best
    yield LineRange(start, end)


def _cut_quality(lines: TextLines, at: int) -> tuple[bool, int]:
    """Rate a cut before a line: after a blank line is best, then before the least indented line."""
    if at >= len(lines.texts):
        return True, 0
    line = lines.texts[at]
    return not lines.texts[at - 1].strip(), len(line.lstrip()) - len(line)
