"""Ranks files by their chunks: a question may be about much of a file, and each of its sentences about another part."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

SHARPNESS: Final = 12.0
"""The sharpness of the soft maximum over the chunks of a file: at 12, a second chunk as good as the best adds 0.058,
and one that is 0.1 weaker 0.022 (`benchmarks/README.md` has others).
"""


class PartStrengths(NamedTuple):
    """The strengths of items, by item: for the whole question, and for each of its sentences, if it has several."""

    whole: Mapping[str, float]
    sentences: Sequence[Mapping[str, float]]

    def of_sentences(self, item: str) -> float | None:
        """Return the mean strength of an item for the sentences, None without any. What none scored has 0."""
        if not self.sentences:
            return None
        return sum(of_sentence.get(item, 0.0) for of_sentence in self.sentences) / len(self.sentences)


class FileChunks(NamedTuple):
    """The items that are chunks of one file, and what is added to its strength because a question names it."""

    items: Collection[str]
    named: float = 0.0


class RankedChunk(NamedTuple):
    """A chunk of a file with its strength.

    part: its mean strength for the sentences, if there are several.  bonus: what the other chunks of its file add.
    named: what a question adds that names its file.
    """

    item: str
    strength: float
    part: float | None
    bonus: float = 0.0
    named: float = 0.0


def file_strengths(parts: PartStrengths, totals: Mapping[str, float], files: Iterable[FileChunks]) -> list[RankedChunk]:
    """Return the chunks of all files with their strengths.

    Half of a chunk's strength is its mean for the sentences, and that of the best chunk of a file is raised to the
    same of the soft maxima of all its chunks, and by what the file's name adds. Only the best chunk is raised:
    otherwise the chunks of one file would displace all others from a short answer.

    `totals` are the strengths of single items, of which half is that for the best sentence. A mean is lower, so all
    files are moved up by what brings the best one to the soft maximum of these: other memories and files then compare
    as if a file were one, and only the order of the files is another. Names count after that.
    """
    ranked = [_ranked(parts, file) for file in files]
    level = 0.0
    if parts.sentences and ranked:
        level = max(soft_maximum([totals[chunk.item] for chunk in chunks]) for chunks in ranked)
        level -= max(best.strength - best.named for best, *_ in ranked)
    return [chunk._replace(strength=chunk.strength + level) for chunks in ranked for chunk in chunks]


def soft_maximum(strengths: Sequence[float]) -> float:
    """Return the greatest strength, raised by the others: by ln(n) / `SHARPNESS` if all n are equal."""
    greatest = max(strengths)
    if len(strengths) == 1:
        return greatest
    return greatest + math.log(sum(math.exp(SHARPNESS * (one - greatest)) for one in strengths)) / SHARPNESS


def _ranked(parts: PartStrengths, file: FileChunks) -> list[RankedChunk]:
    """Return the chunks of one file, the best first."""
    own = {item: (parts.whole.get(item, 0.0), parts.of_sentences(item)) for item in sorted(file.items)}
    ranked = [RankedChunk(item, _half(whole, part), part) for item, (whole, part) in own.items()]
    ranked.sort(key=lambda chunk: (-chunk.strength, chunk.item))
    best, *others = ranked
    strength = best.strength
    if others:
        maxima = [soft_maximum([one.get(item, 0.0) for item in own]) for one in parts.sentences]
        whole = soft_maximum([whole for whole, _ in own.values()])
        strength = _half(whole, sum(maxima) / len(maxima) if maxima else None)
    bonus = strength - best.strength
    return [best._replace(strength=strength + file.named, bonus=bonus, named=file.named), *others]


def _half(whole: float, part: float | None) -> float:
    return whole if part is None else (whole + part) / 2
