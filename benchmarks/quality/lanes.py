"""Exact rankings of each lane alone over the texts of the home: an item has the score of its best passage.

BM25 has the term weights of Qdrant Edge (English stems and stop words, k 1.2, b 0.75). They are set here, so that the
baseline stays the same when the product's change. idf = ln((N - df + 0.5) / (df + 0.5) + 1) over the N passages of the
namespace. The dense lane is the cosine with every passage, without a graph and without a limit on candidates.
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from qdrant_edge import Bm25, Bm25Config

from memos_mcp.services.search import MAX_QUERY_CHARS
from quality.home_database import Matrix, Passages, opened
from quality.plans import Plan
from quality.product import HITS

AVERAGE_LENGTH = 60.0

Scores = npt.NDArray[np.float64]


class Words:
    """The BM25 lane over some passages."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._model = Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=AVERAGE_LENGTH))
        self._count = len(texts)
        positions: dict[int, array[int]] = defaultdict(lambda: array("q"))
        weights: dict[int, array[float]] = defaultdict(lambda: array("d"))
        for position, text in enumerate(texts):
            vector = self._model.embed_document(text)
            for word, weight in zip(vector.indices, vector.values, strict=True):
                positions[word].append(position)
                weights[word].append(weight)
        self._postings = {word: (np.asarray(positions[word]), np.asarray(weights[word])) for word in positions}

    def scores(self, question: str) -> Scores:
        """Return the score [P] of each passage; 0 for passages that share no word with the question."""
        scores = np.zeros(self._count)
        for word in self._model.embed_query(question).indices:
            if word in self._postings:
                positions, weights = self._postings[word]
                idf = math.log((self._count - len(positions) + 0.5) / (len(positions) + 0.5) + 1)
                scores[positions] += idf * weights
        return scores


def ranked(scores: Scores | Matrix, passages: Passages, *, above: float) -> Iterator[str]:
    """Yield the marks of the passages that score above this, best first; ties in the order of the passages."""
    for position in np.argsort(-scores, kind="stable"):
        if scores[position] <= above:
            return
        yield passages.marks[position]


async def answers(plan: Plan, home: Path) -> dict[str, dict[str, list[str]]]:
    """Return the ids that each lane ranks first, by lane and question."""
    found: dict[str, dict[str, list[str]]] = {"bm25": {}, "dense": {}}
    async with opened(home) as database:
        for namespace in plan.namespaces:
            passages = await database.passages(await database.items(namespace, tools=plan.tools))
            words = Words(passages.texts)
            for question in plan.questions:
                if question.namespace != namespace:
                    continue
                text = question.text[:MAX_QUERY_CHARS]
                rankings = {
                    "bm25": ranked(words.scores(text), passages, above=0.0),
                    "dense": ranked(passages.vectors @ await database.question(text), passages, above=-math.inf),
                }
                for lane, ranking in rankings.items():
                    found[lane][question.id] = list(islice(plan.expand(namespace, ranking), HITS))
    return found
