"""How candidates become an order: pure functions of the scores that the lanes gave."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, TypeVar
from uuid import UUID

from memos_mcp.domain.index import Lanes, Match, Span

Item = TypeVar("Item")

DENSE_WEIGHT: Final = 0.5
LEXICAL_WEIGHT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score in 0..1, the raw scores it came from, and its best passage."""

    item_id: UUID
    score: float
    signals: Mapping[str, float]
    span: Span


def fuse(lanes: Lanes, waiting: Sequence[Match] = ()) -> list[Ranked]:
    """Order candidates by the weighted sum of their normalised lane scores, best first; ties by id.

    Cosines are scaled between the least and the greatest of their lane, BM25 scores by their greatest: the sum that
    was at or above BM25 alone and reciprocal-rank fusion on seven public tool-retrieval sets. The sum gives the order;
    times the best cosine it also tells a good best answer from a bad one, which is what `score` reports.
    `waiting` are items that are not in the index yet, by Postgres full-text rank: they stand in as a lexical lane.
    The passage shown is that of the lane which speaks louder for the item, of words when both do alike.
    """
    dense = _min_max(lanes.dense)
    lexical = _by_greatest(lanes.bm25) | _by_greatest(waiting)
    best = max((match.score for match in lanes.dense), default=1.0)
    scale = min(max(best, 0.0), 1.0)
    signals = _signals({"dense": lanes.dense, "bm25": lanes.bm25, "text": waiting})
    spans = _spans(lanes.dense) | {
        item: span for item, span in _spans((*waiting, *lanes.bm25)).items() if lexical[item] >= dense.get(item, 0.0)
    }
    scores = {item: DENSE_WEIGHT * dense.get(item, 0.0) + LEXICAL_WEIGHT * lexical.get(item, 0.0) for item in signals}
    order = sorted(scores, key=lambda item: (-scores[item], item))
    return [Ranked(item, round(scores[item] * scale, 4), signals[item], spans[item]) for item in order]


def lexical(matches: Sequence[Match]) -> list[Ranked]:
    """Order the candidates of full-text search alone, for an answer without the index."""
    scores = _by_greatest(matches)
    return [
        Ranked(match.item_id, round(scores[match.item_id], 4), {"text": round(match.score, 4)}, match.span)
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


def _spans(matches: Sequence[Match]) -> dict[UUID, Span]:
    return {match.item_id: match.span for match in matches}


def _min_max(matches: Sequence[Match]) -> dict[UUID, float]:
    if not matches:
        return {}
    least, greatest = min(match.score for match in matches), max(match.score for match in matches)
    spread = greatest - least
    return {match.item_id: (match.score - least) / spread if spread else float(greatest > 0) for match in matches}


def _by_greatest(matches: Sequence[Match]) -> dict[UUID, float]:
    greatest = max((match.score for match in matches), default=0.0)
    return {match.item_id: match.score / greatest if greatest > 0 else 0.0 for match in matches}


def _signals(lanes: Mapping[str, Sequence[Match]]) -> dict[UUID, dict[str, float]]:
    signals: dict[UUID, dict[str, float]] = {}
    for name, matches in lanes.items():
        for match in matches:
            signals.setdefault(match.item_id, {})[name] = round(match.score, 4)
    return signals
