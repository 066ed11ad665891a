"""Ranks candidates: pure functions of the scores of the lanes."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, TypeVar
from uuid import UUID

from memos_mcp.domain.index import Group, ItemKind, Lanes, Match, Span

Item = TypeVar("Item")

WORD_WEIGHT: Final[Mapping[ItemKind, float]] = {"memory": 0.04, "tool": 0.022}
"""The weight of a BM25 score, in units of cosine.

Both scores are unscaled. Scaling each lane to its own best, as is common, hides that no word of the question is rare,
or that nothing is near. `benchmarks/README.md` has the cost of each alternative.
"""

SHARPNESS: Final = 20.0
"""The sharpness of the soft maximum over the chunks of a file: at 20, a second chunk as good as the best adds 0.035,
and one that is 0.1 weaker 0.006. From 10 to 30 it hardly matters (`benchmarks/README.md`).
"""

FIELD: Final = 50
"""The number of best candidates that decide whether the first stands out."""

STANDS_OUT: Final = 0.33
"""The distance from the field at which a tool makes an answer confident. At this value, as many questions whose right
tool is there reach it as questions whose right tool is removed miss it (MetaTool,
all-MiniLM-L6-v2; 0.29 to 0.45 on other sets)."""

IS_NEAR: Final = 0.45
"""The cosine that a memory must reach for an answer to be confident: 99 % of the questions about the stored
conversation reach it, and 12 % of those about another one (LoCoMo, all-MiniLM-L6-v2)."""

QUEUED_BM25: Final = 10.0
"""The BM25 score of the best queued match when nothing in the index matches a word."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its strength, the raw scores behind it (`signals`), and its best passage."""

    item_id: UUID
    strength: float
    signals: Mapping[str, float]
    span: Span

    @property
    def score(self) -> float:
        """The strength, which has no upper bound, in 0..1: 0.2 is 0.18, 1 is 0.63, 2 is 0.86."""
        return round(1 - math.exp(-max(self.strength, 0.0)), 4)


def fuse(kind: ItemKind, answers: Sequence[Lanes], queued: Sequence[Match] = ()) -> list[Ranked]:
    """Rank candidates by their cosines and BM25 scores, best first; ties by id.

    `answers` are the lanes of the question and then of its sentences, if it has several. Half of the strength of a
    candidate is that for its best sentence. `queued` are items that are not in the index yet, by Postgres full-text
    rank, which is scaled to BM25. The passage shown is that of the lane that contributes more to the strength. The best
    chunk of a file gains by the other chunks, because a question may be about much of the file.
    """
    whole, *sentences = answers
    weight = WORD_WEIGHT[kind]
    best_bm25 = max((match.score for match in whole.bm25), default=QUEUED_BM25) or QUEUED_BM25
    bm25 = _greater(_scores(whole.bm25), _scaled(queued, best_bm25))
    strengths = _strengths(_scores(whole.dense), bm25, weight)
    best_sentence: dict[UUID, float] = {}
    for lanes in sentences:
        best_sentence = _greater(best_sentence, _strengths(_scores(lanes.dense), _scores(lanes.bm25), weight))
    signals = _signals({"dense": whole.dense, "bm25": whole.bm25, "text": queued}, best_sentence)
    averaged = _items(answers) if best_sentence else set()
    totals = {
        item: (strengths.get(item, 0.0) + best_sentence.get(item, 0.0)) / 2 if item in averaged else strengths[item]
        for item in signals
    }
    for item, bonus in _file_bonuses(totals, _chunks_by_file(answers)).items():
        totals[item] += bonus
        if rounded := round(bonus, 4):
            signals[item]["document"] = rounded
    spans = _spans(answers, queued, weight)
    order = sorted(totals, key=lambda item: (-totals[item], item))
    return [Ranked(item, totals[item], signals[item], spans[item]) for item in order]


def unscored(queued: Iterable[Match], answers: Iterable[Lanes]) -> list[Match]:
    """Return the queued items that no lane scores: the text of the others is in the index already."""
    scored = _items(answers)
    return [match for match in queued if match.item_id not in scored]


def stands_out(ranked: Sequence[Ranked]) -> bool:
    """Return whether the best stands above the field: when nothing fits, many are about as far from the question."""
    best, *field = [hit.strength for hit in ranked[:FIELD]] or [0.0]
    return best - (sum(field) / len(field) if field else 0.0) >= STANDS_OUT


def is_near(ranked: Sequence[Ranked]) -> bool:
    """Return whether any memory is near in meaning. Many may fit equally, so that none needs to stand out."""
    return max((hit.signals.get("dense", 0.0) for hit in ranked), default=0.0) >= IS_NEAR


def lexical(matches: Sequence[Match]) -> list[Ranked]:
    """Rank the matches of full-text search alone, for an answer without the index."""
    scores = _scaled(matches, 1.0)
    return [
        Ranked(match.item_id, scores[match.item_id], {"text": round(match.score, 4)}, match.span)
        for match in sorted(matches, key=lambda match: (-match.score, match.item_id))
    ]


def round_robin(rankings: Iterable[Sequence[Item]], key: Callable[[Item], Hashable]) -> list[Item]:
    """Merge rankings: the best of each, then the second of each, without duplicates."""
    merged: dict[Hashable, Item] = {}
    for row in zip_longest(*rankings):
        for item in row:
            if item is not None:
                merged.setdefault(key(item), item)
    return list(merged.values())


def _strengths(cosines: Mapping[UUID, float], bm25: Mapping[UUID, float], weight: float) -> dict[UUID, float]:
    items = cosines.keys() | bm25.keys()
    return {item: cosines.get(item, 0.0) + weight * bm25.get(item, 0.0) for item in items}


def _chunks_by_file(answers: Iterable[Lanes]) -> dict[Group, set[UUID]]:
    """Return the candidates that are chunks of a file, by file."""
    chunks: dict[Group, set[UUID]] = {}
    for lanes in answers:
        for match in (*lanes.dense, *lanes.bm25):
            if match.group is not None and match.group.kind == "file":
                chunks.setdefault(match.group, set()).add(match.item_id)
    return chunks


def _file_bonuses(strengths: Mapping[UUID, float], files: Mapping[Group, Iterable[UUID]]) -> dict[UUID, float]:
    """Return the bonus of the best chunk of each file, which raises it to the soft maximum of all chunks.

    Only the best chunk has one: otherwise the chunks of one file would displace all others from a short answer.
    """
    bonuses: dict[UUID, float] = {}
    for chunks in files.values():
        best, *others = sorted(chunks, key=lambda item: (-strengths[item], item))
        if others:
            gaps = (strengths[item] - strengths[best] for item in others)
            bonuses[best] = math.log1p(sum(math.exp(SHARPNESS * gap) for gap in gaps)) / SHARPNESS
    return bonuses


def _items(answers: Iterable[Lanes]) -> set[UUID]:
    return {match.item_id for lanes in answers for lane in (lanes.dense, lanes.bm25) for match in lane}


def _scores(matches: Iterable[Match]) -> dict[UUID, float]:
    return {match.item_id: match.score for match in matches}


def _scaled(matches: Sequence[Match], best: float) -> dict[UUID, float]:
    greatest = max((match.score for match in matches), default=0.0)
    return {match.item_id: best * match.score / greatest if greatest > 0 else 0.0 for match in matches}


def _greater(one: Mapping[UUID, float], other: Mapping[UUID, float]) -> dict[UUID, float]:
    """Return each item's greater score."""
    return {item: max(one.get(item, -math.inf), other.get(item, -math.inf)) for item in one.keys() | other.keys()}


def _spans(answers: Sequence[Lanes], queued: Sequence[Match], weight: float) -> dict[UUID, Span]:
    best: dict[UUID, tuple[float, Span]] = {}
    for lanes in answers:
        for factor, matches in ((weight, lanes.bm25), (1.0, lanes.dense)):
            for match in matches:
                contribution = factor * match.score
                if match.item_id not in best or contribution > best[match.item_id][0]:
                    best[match.item_id] = (contribution, match.span)
    return {match.item_id: match.span for match in queued} | {item: span for item, (_, span) in best.items()}


def _signals(lanes: Mapping[str, Sequence[Match]], sentences: Mapping[UUID, float]) -> dict[UUID, dict[str, float]]:
    signals: dict[UUID, dict[str, float]] = {}
    for name, matches in lanes.items():
        for match in matches:
            signals.setdefault(match.item_id, {})[name] = round(match.score, 4)
    for item, strength in sentences.items():
        signals.setdefault(item, {})["part"] = round(strength, 4)
    return signals
