"""Ranks candidates: pure functions of the scores of the lanes."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from memos_mcp.domain.index import Group, ItemKind, Lanes, Match, Span
from memos_mcp.retrieval.files import FileChunks, PartStrengths, file_strengths
from memos_mcp.retrieval.named_files import named_strength, words_of

Item = TypeVar("Item")

Lane: TypeAlias = Mapping[str, Match]
"""The matches of a lane by item."""

BothLanes: TypeAlias = tuple[Lane, Lane]
"""The dense lane and the BM25 lane of a question."""

WORD_WEIGHT: Final[Mapping[ItemKind, float]] = {"memory": 0.04, "tool": 0.022, "task": 0.01}
"""The weight of a BM25 score, in units of cosine.

Both scores are unscaled. Scaling each lane to its own best, as is common, hides that no word of the question is rare,
or that nothing is near. `benchmarks/README.md` has the cost of each alternative. Past tasks: without their words, the
votes of 6,000 of them are worth 0.6 less (nDCG@10, MetaTool).
"""

QUEUED_BM25: Final = 10.0
"""The BM25 score of the best queued match when nothing in the index matches a word."""

PARSED_IDS: Final = 4_096
"""Ids that are kept parsed. An answer asks for that of each candidate four times, which took 0.3 ms."""

_id_of = lru_cache(PARSED_IDS)(UUID)


class Ranked(NamedTuple):
    """A candidate with its strength, the raw scores behind it by name, and its best passage."""

    item: str
    strength: float
    raw_scores: Mapping[str, float]
    span: Span

    @property
    def item_id(self) -> UUID:
        return _id_of(self.item)

    @property
    def signals(self) -> dict[str, float]:
        """The raw scores, rounded. Few candidates are shown, and to round those of all took a fifth of a fusion."""
        return {name: round(score, 4) for name, score in self.raw_scores.items()}

    @property
    def score(self) -> float:
        """The strength, which has no upper bound, in 0..1: 0.2 is 0.18, 1 is 0.63, 2 is 0.86."""
        return round(1 - math.exp(-max(self.strength, 0.0)), 4)


def fuse(
    kind: ItemKind, answers: Sequence[Lanes], queued: Sequence[Match] = (), texts: Sequence[str] = ()
) -> list[Ranked]:
    """Rank candidates by their cosines and BM25 scores, best first; ties by id.

    `answers` are the lanes of the question and then of its sentences, if it has several. Half of the strength of a
    candidate is that for its best sentence. `queued` are items that are not in the index yet, by Postgres full-text
    rank, which is scaled to BM25. The passage shown is that of the lane that contributes more to the strength.
    `file_strengths` ranks the chunks of files; of those that the `texts` of the question and its sentences name, which
    may be left out, the best chunk is raised.
    """
    whole, *sentences = [(_by_item(lanes.dense), _by_item(lanes.bm25)) for lanes in answers]
    waiting, weight = _by_item(queued), WORD_WEIGHT[kind]
    bm25 = _scores(whole[1])
    bm25 = _greater(bm25, _scaled(waiting, max(bm25.values(), default=0.0) or QUEUED_BM25))
    strengths = _strengths(_scores(whole[0]), bm25, weight)
    of_sentences = [_strengths(_scores(dense), _scores(words), weight) for dense, words in sentences]
    best_sentence: dict[str, float] = {}
    for of_sentence in of_sentences:
        best_sentence = _greater(best_sentence, of_sentence)
    raw_scores = _raw_scores({"dense": whole[0], "bm25": whole[1], "text": waiting}, best_sentence)
    averaged = {item for lanes in (whole, *sentences) for lane in lanes for item in lane} if best_sentence else set()
    totals = {
        item: (strengths.get(item, 0.0) + best_sentence.get(item, 0.0)) / 2 if item in averaged else strengths[item]
        for item in raw_scores
    }
    files = _files((whole, *sentences), texts)
    for chunk in file_strengths(PartStrengths(strengths, of_sentences), totals, files):
        totals[chunk.item] = chunk.strength
        if chunk.part is not None:
            raw_scores[chunk.item]["part"] = chunk.part
        if round(chunk.bonus, 4):
            raw_scores[chunk.item]["document"] = chunk.bonus
        if chunk.named:
            raw_scores[chunk.item]["file_name"] = chunk.named
    spans = _spans((whole, *sentences), waiting, weight)
    order = sorted(sorted(totals), key=totals.__getitem__, reverse=True)
    return [Ranked(item, totals[item], raw_scores[item], spans[item]) for item in order]


def unscored(queued: Sequence[Match], answers: Iterable[Lanes]) -> list[Match]:
    """Return the queued items that no lane scores: the text of the others is in the index already."""
    if not queued:
        return []
    scored = {match.item for lanes in answers for lane in (lanes.dense, lanes.bm25) for match in lane}
    return [match for match in queued if match.item not in scored]


def lexical(matches: Sequence[Match]) -> list[Ranked]:
    """Rank the matches of full-text search alone, for an answer without the index."""
    best_first = dict(enumerate(sorted(matches, key=lambda match: (-match.score, match.item))))
    scores = _scaled(best_first, 1.0)
    return [Ranked(match.item, scores[rank], {"text": match.score}, match.span) for rank, match in best_first.items()]


def round_robin(rankings: Iterable[Sequence[Item]], key: Callable[[Item], Hashable]) -> list[Item]:
    """Merge rankings: the best of each, then the second of each, without duplicates."""
    merged: dict[Hashable, Item] = {}
    for row in zip_longest(*rankings):
        for item in row:
            if item is not None:
                merged.setdefault(key(item), item)
    return list(merged.values())


def _by_item(matches: Iterable[Match]) -> dict[str, Match]:
    return {match.item: match for match in matches}


def _strengths(cosines: Mapping[str, float], bm25: Mapping[str, float], weight: float) -> dict[str, float]:
    items = cosines.keys() | bm25.keys()
    return {item: cosines.get(item, 0.0) + weight * bm25.get(item, 0.0) for item in items}


def _files(answers: Iterable[BothLanes], texts: Sequence[str]) -> list[FileChunks]:
    """Return the files that candidates are chunks of."""
    chunks: dict[Group, set[str]] = {}
    for lanes in answers:
        for lane in lanes:
            for item, match in lane.items():
                if match.group is not None and match.group.kind == "file":
                    chunks.setdefault(match.group, set()).add(item)
    words = [words_of(text) for text in texts] if chunks else []
    return [FileChunks(items, named_strength(file.words, words)) for file, items in chunks.items()]


def _scores(lane: Lane) -> dict[str, float]:
    return {item: match.score for item, match in lane.items()}


def _scaled(lane: Mapping[Item, Match], best: float) -> dict[Item, float]:
    greatest = max((match.score for match in lane.values()), default=0.0)
    return {item: best * match.score / greatest if greatest > 0 else 0.0 for item, match in lane.items()}


def _greater(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return each item's greater score."""
    if not other:
        return dict(one)
    return {item: max(one.get(item, -math.inf), other.get(item, -math.inf)) for item in one.keys() | other.keys()}


def _spans(answers: Iterable[BothLanes], waiting: Lane, weight: float) -> dict[str, Span]:
    best: dict[str, tuple[float, Span]] = {}
    for dense, bm25 in answers:
        for factor, lane in ((weight, bm25), (1.0, dense)):
            for item, match in lane.items():
                contribution = factor * match.score
                if item not in best or contribution > best[item][0]:
                    best[item] = (contribution, match.span)
    return {item: match.span for item, match in waiting.items()} | {item: span for item, (_, span) in best.items()}


def _raw_scores(lanes: Mapping[str, Lane], sentences: Mapping[str, float]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for name, lane in lanes.items():
        for item, match in lane.items():
            if item not in scores:
                scores[item] = {}
            scores[item][name] = match.score
    for item, strength in sentences.items():
        scores.setdefault(item, {})["part"] = strength
    return scores
