"""Each lane alone, exactly, over the texts that the home holds: an item is as good as its best passage.

BM25 has the term weights of Qdrant Edge (English stems and stop words, k 1.2, b 0.75), set here so that the yardstick
stays when the product's change, and idf = ln((N - df + 0.5) / (df + 0.5) + 1) over the N passages of the namespace.
The dense lane is the cosine with every passage: no graph, and no cut after some candidates.
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
from quality.asking import HITS
from quality.plans import Plan
from quality.stored import Matrix, Passages, opened

AVERAGE_LENGTH = 60.0

Scores = npt.NDArray[np.float64]


class Words:
    """The BM25 lane over some passages."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._model = Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=AVERAGE_LENGTH))
        self._count = len(texts)
        places: dict[int, array[int]] = defaultdict(lambda: array("q"))
        weights: dict[int, array[float]] = defaultdict(lambda: array("d"))
        for place, text in enumerate(texts):
            vector = self._model.embed_document(text)
            for word, weight in zip(vector.indices, vector.values, strict=True):
                places[word].append(place)
                weights[word].append(weight)
        self._postings = {word: (np.asarray(places[word]), np.asarray(weights[word])) for word in places}

    def scores(self, question: str) -> Scores:
        """Return the score [P] of each passage; 0 where no word is shared."""
        scores = np.zeros(self._count)
        for word in self._model.embed_query(question).indices:
            if word in self._postings:
                places, weights = self._postings[word]
                idf = math.log((self._count - len(places) + 0.5) / (len(places) + 0.5) + 1)
                scores[places] += idf * weights
        return scores


def ranked(scores: Scores | Matrix, passages: Passages, *, above: float) -> Iterator[str]:
    """Yield the marks of the passages that score more than this, best first; ties in the order of the passages."""
    for place in np.argsort(-scores, kind="stable"):
        if scores[place] <= above:
            return
        yield passages.marks[place]


async def answers(plan: Plan, home: Path) -> dict[str, dict[str, list[str]]]:
    """Return, for each lane, what it ranks first for each question, as the set's ids."""
    found: dict[str, dict[str, list[str]]] = {"bm25": {}, "dense": {}}
    async with opened(home) as stored:
        for namespace in plan.namespaces:
            passages = await stored.passages(await stored.items(namespace, tools=plan.tools))
            words = Words(passages.texts)
            for question in plan.questions:
                if question.namespace != namespace:
                    continue
                text = question.text[:MAX_QUERY_CHARS]
                rankings = {
                    "bm25": ranked(words.scores(text), passages, above=0.0),
                    "dense": ranked(passages.vectors @ await stored.question(text), passages, above=-math.inf),
                }
                for lane, ranking in rankings.items():
                    found[lane][question.id] = list(islice(plan.expand(namespace, ranking), HITS))
    return found
