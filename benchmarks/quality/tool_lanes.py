"""The product's lanes over the tools of a dataset, computed in this process without an index.

The vectors, the words and their weights are the product's own. Each lane proposes as many tools as the index does, and
scores all that any lane proposes. The word statistics are those of all tools, also where some are excluded.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from memos_mcp.cli.importing import new_tool
from memos_mcp.domain.index import Lanes, Match, Span, Vector
from memos_mcp.domain.index_rows import IndexedRows
from memos_mcp.domain.tool import Tool, ToolStore
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.qdrant.bm25 import WordVectors
from memos_mcp.qdrant.lanes import shares
from memos_mcp.retrieval.sentences import sentences
from memos_mcp.services.projections import ToolProjection, tool_text
from memos_mcp.services.search import MIN_CANDIDATES
from quality.datasets import NAMESPACE, Question
from quality.plans import Plan

Scores = npt.NDArray[np.float64]

_UNKNOWN = Span(0, 1)
"""Which passage of a tool matched best does not matter here."""


@dataclass(frozen=True, slots=True)
class ToolLanes:
    """The T tools of a dataset, which stand for themselves by their positions, and its questions.

    texts: what each tool is embedded by.  owners [P] and vectors [P, D]: the tool and the unit vector of each passage.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    questions: Sequence[Question]
    embedder: FastEmbedder
    words: "ToolWords"
    owners: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]

    @classmethod
    async def of(cls, plan: Plan, embedder: FastEmbedder) -> "ToolLanes":
        """Embed the tools of a plan."""
        lines = plan.lines[NAMESPACE]
        ids = [plan.ids.get((NAMESPACE, line["tool_id"]), [line["tool_id"]])[0] for line in lines]
        tools = [cast("Tool", new_tool(line)) for line in lines]  # what makes their texts is the same in both
        texts = [tool_text(tool) for tool in tools]
        spans = await embedder.split(texts)
        owners = [tool for tool, parts in enumerate(spans) for _ in parts]
        passages = [text[start:end] for text, parts in zip(texts, spans, strict=True) for start, end in parts]
        vectors = np.asarray(_unit(await embedder.passages(passages)), dtype=np.float32)
        return cls(ids, texts, plan.questions, embedder, ToolWords(tools), np.asarray(owners), vectors)

    def positions(self, ids: Collection[str]) -> frozenset[int]:
        """Return the positions of the tools with these ids."""
        return frozenset(position for position, tool_id in enumerate(self.ids) if tool_id in ids)

    async def search(self, text: str, excluded: Collection[int] = ()) -> list[Lanes]:
        """Return the lanes of a question and of its sentences, as the index returns them without these tools."""
        texts = [text, *sentences(text)]
        vectors = _unit(await self.embedder.queries(texts))
        admitted = np.ones(len(self.ids), dtype=bool)
        admitted[list(excluded)] = False
        scores = [(self._cosines(vector), self.words.scores(one)) for one, vector in zip(texts, vectors, strict=True)]
        proposed: set[int] = set()
        for (cosines, bm25), limit in zip(scores, shares(len(texts), MIN_CANDIDATES), strict=True):
            proposed.update(_best(np.where(admitted, cosines, -math.inf), limit, above=-math.inf))
            proposed.update(_best(np.where(admitted, bm25, 0.0), limit, above=0.0))
        chosen = sorted(proposed)
        return [Lanes(_matches(cosines, chosen), _matches(bm25, chosen, above=0.0)) for cosines, bm25 in scores]

    def _cosines(self, vector: Vector) -> Scores:
        cosines = np.full(len(self.ids), -math.inf)
        np.maximum.at(cosines, self.owners, self.vectors @ vector)
        return cosines


class ToolWords:
    """The BM25 lane over some tools."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._model = WordVectors()
        self._count = len(tools)
        projection = ToolProjection(cast("ToolStore", None), cast("IndexedRows", None))  # the text needs no record
        weights: dict[int, dict[int, float]] = defaultdict(dict)
        for position, tool in enumerate(tools):
            vector = self._model.passage("tool", [(projection.lexical_text(tool, ""), 1.0)])
            for word, weight in zip(vector.indices, vector.values, strict=True):
                weights[word][position] = weight
        self._postings = {
            word: (np.asarray(list(held)), np.asarray(list(held.values()))) for word, held in weights.items()
        }

    def scores(self, question: str) -> Scores:
        """Return the score [T] of each tool; 0 for those that share no word with the question."""
        scores = np.zeros(self._count)
        for word in self._model.question(question).indices:
            if word in self._postings:
                positions, weights = self._postings[word]
                frequency = len(positions)
                scores[positions] += math.log((self._count - frequency + 0.5) / (frequency + 0.5) + 1) * weights
        return scores


def _unit(vectors: Iterable[Vector]) -> list[Vector]:
    return [vector / max(float(np.linalg.norm(vector)), 1e-12) for vector in vectors]


def _best(scores: Scores, limit: int, *, above: float) -> list[int]:
    return [int(position) for position in np.argsort(-scores, kind="stable")[:limit] if scores[position] > above]


def _matches(scores: Scores, positions: Sequence[int], *, above: float = -math.inf) -> list[Match]:
    return [Match(str(one), float(scores[one]), _UNKNOWN) for one in positions if scores[one] > above]
