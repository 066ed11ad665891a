"""How candidates become an order: pure functions of the scores that the lanes gave."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, TypeVar
from uuid import UUID

from memos_mcp.domain.index import ItemKind, Lanes, Match, Span

Item = TypeVar("Item")

WORD_WEIGHT: Final[Mapping[ItemKind, float]] = {"memory": 0.04, "tool": 0.022}
"""What a point of BM25 is worth in cosine.

Both are taken as they are. Scaling each lane to its own best, as is common, hides what they say: that no word of the
question is rare, or that nothing is near. `benchmarks/README.md` has what each of these costs.
"""

SHARPNESS: Final = 20.0
"""How sharply the parts of a document are told from its best when its strength is summed up: at 20, a second part as
good as the best adds 0.035, and one that is 0.1 weaker 0.006. From 10 to 30 it hardly matters (`benchmarks/README.md`).
"""

FIELD: Final = 50
"""How many of the best are looked at to see whether the first stands out."""

STANDS_OUT: Final = 0.33
"""How far a tool must stand above the field for an answer to be called confident: where as many questions have their
right tool and reach it, as have it taken away and do not (MetaTool, all-MiniLM-L6-v2; 0.29 to 0.45 on other sets)."""

IS_NEAR: Final = 0.45
"""The cosine that something in a memory must reach for an answer to be called confident: of questions about the
conversation that is stored 99 % do, about another one 12 % (LoCoMo, all-MiniLM-L6-v2)."""

WAITING_WORDS: Final = 10.0
"""The BM25 score that the best match among what is not indexed yet stands in for, where nothing else tells."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its strength, that as a score in 0..1, the raw scores it came from, and its best passage."""

    item_id: UUID
    strength: float
    signals: Mapping[str, float]
    span: Span

    @property
    def score(self) -> float:
        """The strength, which has no upper bound, in 0..1: 0.2 is 0.18, 1 is 0.63, 2 is 0.86."""
        return round(1 - math.exp(-max(self.strength, 0.0)), 4)


def fuse(kind: ItemKind, answers: Sequence[Lanes], waiting: Sequence[Match] = ()) -> list[Ranked]:
    """Order candidates by what meaning and words say of them, best first; ties by id.

    `answers` are the lanes of the question and then of its sentences, if it has several: what answers one of them
    well counts as much as what answers the whole. `waiting` are items that are not in the index yet, by Postgres
    full-text rank: they stand in for words. The passage shown is that of the lane which has more part in the strength.
    Of the parts of a document the best is lifted by the others: much of a file is about the matter, or one line is.
    """
    whole, *parts = answers
    weight = WORD_WEIGHT[kind]
    standing_in = _scaled(waiting, max((match.score for match in whole.bm25), default=WAITING_WORDS) or WAITING_WORDS)
    words = _greater(_scores(whole.bm25), standing_in)
    strengths = _strengths(_scores(whole.dense), words, weight)
    best_part: dict[UUID, float] = {}
    for part in parts:
        best_part = _greater(best_part, _strengths(_scores(part.dense), _scores(part.bm25), weight))
    signals = _signals({"dense": whole.dense, "bm25": whole.bm25, "text": waiting}, best_part)
    halved = _items(answers) if best_part else set()
    totals = {
        item: (strengths.get(item, 0.0) + best_part.get(item, 0.0)) / 2 if item in halved else strengths[item]
        for item in signals
    }
    for item, lift in _lifts(totals, _documents(answers)).items():
        totals[item] += lift
        if told := round(lift, 4):
            signals[item]["document"] = told
    spans = _spans(answers, waiting, weight)
    order = sorted(totals, key=lambda item: (-totals[item], item))
    return [Ranked(item, totals[item], signals[item], spans[item]) for item in order]


def unscored(waiting: Iterable[Match], answers: Iterable[Lanes]) -> list[Match]:
    """Return what no lane scores: of the rest of what waits, only other things than its text may have changed."""
    scored = _items(answers)
    return [match for match in waiting if match.item_id not in scored]


def stands_out(ranked: Sequence[Ranked]) -> bool:
    """Tell whether the best stands above the field: where nothing fits, many are about as far from the question."""
    best, *field = [hit.strength for hit in ranked[:FIELD]] or [0.0]
    return best - (sum(field) / len(field) if field else 0.0) >= STANDS_OUT


def is_near(ranked: Sequence[Ranked]) -> bool:
    """Tell whether anything is near in meaning: of a memory many parts may fit alike, so that none stands out."""
    return max((hit.signals.get("dense", 0.0) for hit in ranked), default=0.0) >= IS_NEAR


def lexical(matches: Sequence[Match]) -> list[Ranked]:
    """Order the candidates of full-text search alone, for an answer without the index."""
    scores = _scaled(matches, 1.0)
    return [
        Ranked(match.item_id, scores[match.item_id], {"text": round(match.score, 4)}, match.span)
        for match in sorted(matches, key=lambda match: (-match.score, match.item_id))
    ]


def round_robin(rankings: Iterable[Sequence[Item]], key: Callable[[Item], Hashable]) -> list[Item]:
    """Take the best of each ranking in turn, then the second of each, leaving out what came before."""
    merged: dict[Hashable, Item] = {}
    for row in zip_longest(*rankings):
        for item in row:
            if item is not None:
                merged.setdefault(key(item), item)
    return list(merged.values())


def _strengths(cosines: Mapping[UUID, float], words: Mapping[UUID, float], weight: float) -> dict[UUID, float]:
    items = cosines.keys() | words.keys()
    return {item: cosines.get(item, 0.0) + weight * words.get(item, 0.0) for item in items}


def _documents(answers: Iterable[Lanes]) -> dict[str, set[UUID]]:
    """Return the candidates that are parts of a document, by document."""
    documents: dict[str, set[UUID]] = {}
    for lanes in answers:
        for match in (*lanes.dense, *lanes.bm25):
            if match.part_of is not None:
                documents.setdefault(match.part_of, set()).add(match.item_id)
    return documents


def _lifts(strengths: Mapping[UUID, float], documents: Mapping[str, Iterable[UUID]]) -> dict[UUID, float]:
    """Return what the best part of each document gains by the others: it then has the soft maximum of them all.

    Only the best: lifted together, the parts of one document would push all others out of a short answer.
    """
    lifts: dict[UUID, float] = {}
    for parts in documents.values():
        best, *others = sorted(parts, key=lambda item: (-strengths[item], item))
        if others:
            less = (strengths[item] - strengths[best] for item in others)
            lifts[best] = math.log1p(sum(math.exp(SHARPNESS * gap) for gap in less)) / SHARPNESS
    return lifts


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


def _spans(answers: Sequence[Lanes], waiting: Sequence[Match], weight: float) -> dict[UUID, Span]:
    loudest: dict[UUID, tuple[float, Span]] = {}
    for lanes in answers:
        for factor, matches in ((weight, lanes.bm25), (1.0, lanes.dense)):
            for match in matches:
                said = (factor * match.score, match.span)
                if match.item_id not in loudest or said[0] > loudest[match.item_id][0]:
                    loudest[match.item_id] = said
    return {match.item_id: match.span for match in waiting} | {item: span for item, (_, span) in loudest.items()}


def _signals(lanes: Mapping[str, Sequence[Match]], parts: Mapping[UUID, float]) -> dict[UUID, dict[str, float]]:
    signals: dict[UUID, dict[str, float]] = {}
    for name, matches in lanes.items():
        for match in matches:
            signals.setdefault(match.item_id, {})[name] = round(match.score, 4)
    for item, strength in parts.items():
        signals.setdefault(item, {})["part"] = round(strength, 4)
    return signals
