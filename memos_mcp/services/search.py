"""Finds candidates of either kind: in the index, or by full-text search in Postgres when the index is unavailable."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from uuid import UUID

from memos_mcp.domain.errors import EmbedderUnavailable, IndexUnavailable, RerankerUnavailable
from memos_mcp.domain.index import Embedder, IndexFilter, IndexQuery, ItemKind, Lanes, Match, Shape, Vector, VectorIndex
from memos_mcp.domain.limits import check_text
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.retrieval.confidence import CONFIDENT
from memos_mcp.retrieval.fusion import Ranked, fuse, lexical, unscored
from memos_mcp.retrieval.rerank import RERANKED, Reranker, reranked
from memos_mcp.retrieval.sentences import sentences
from memos_mcp.services.embedders import EmbedderFactory, Embedders

MAX_QUERY_CHARS: Final = 10_000
MIN_CANDIDATES: Final = 40
"""Candidates of each lane for the ten hits of an answer, and for fewer. With 50, an answer takes 3 % longer; what is
found first is the same (`benchmarks/README.md`)."""

CANDIDATES_PER_HIT: Final = 4
MAX_CANDIDATES: Final = 1_000
MAX_LISTS: Final = 7
"""The bound of the number of candidates, as a multiple of their limit: two lanes of the question, two of its sentences
(each proposes some, however many there are), and the items that are still queued."""

BEHIND: Final = "The index is catching up: of what is not in it yet, the newest 2,000 were matched by words only."
OUTDATED: Final = "The index is being rebuilt for another embedding model: matched by words only."

Row = TypeVar("Row")


class TextSearch(Protocol):
    """Full-text search of one kind in Postgres, bound to a namespace, a text and a filter."""

    def __call__(self, limit: int, *, queued_only: bool) -> Awaitable[Sequence[Match]]: ...


class IndexState(Protocol):
    """The state of the index, as far as the search depends on it."""

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits to be indexed."""

    @property
    def behind(self) -> bool:
        """Whether the index may lack something that was acknowledged before."""

    @property
    def error(self) -> str | None:
        """The reason why the index cannot be brought up to date, if any."""

    async def wait_until_opened(self) -> None:
        """Wait, for a bounded time, until the index was opened or could not be."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates, best first, before Postgres filters them; `degraded` says what could not be searched.

    judged: whether the cosines say anything: not when only words were searched, or when the model cannot read the
    script of the question.
    confident: whether a candidate fits, judged by meaning and words; None if unknown, and always unless `judged`.
    """

    ranked: Sequence[Ranked]
    judged: bool = False
    confident: bool | None = None
    degraded: str | None = None


class Search:
    """Ranks candidates for a question: of both index lanes and of the queue, or of full-text search as a fallback."""

    def __init__(
        self,
        index: VectorIndex,
        embedder: Embedder,
        state: IndexState,
        reranker: Reranker | None = None,
        embedder_for: EmbedderFactory | None = None,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._index = index
        self._embedders = Embedders(embedder, embedder_for)
        self._state = state
        self._reranker = reranker
        self._telemetry = telemetry

    @property
    def rerank_depth(self) -> int:
        """The number of first candidates that the reranker reads, whatever the limit of the answer; 0 without one."""
        return 0 if self._reranker is None else RERANKED

    async def candidates(
        self,
        kind: ItemKind,
        text: str,
        where: IndexFilter,
        limit: int,
        text_search: TextSearch,
        outside: Sequence[Match] = (),
    ) -> Candidates:
        """Rank the best candidates of each lane, up to `limit` of each; another limit may change their order.

        outside: matches by full-text search among items that the index does not hold.
        """
        await self._state.wait_until_opened()
        queued = () if self._state.caught_up else await text_search(limit, queued_only=True)
        texts = [text, *sentences(text)]
        try:
            answers, words_only = await self._search_index(kind, texts, where, limit)
        except (IndexUnavailable, EmbedderUnavailable) as error:
            found = lexical(await text_search(limit, queued_only=False))
            return Candidates(found, degraded=f"{self._state.error or error} Matched by words only.")
        with self._telemetry.stage("rank"):
            if kind == "memory":  # its text never changes, and each memory of a session queues its neighbours again
                queued = unscored(queued, answers)
            ranked = fuse(kind, answers, [*queued, *outside], texts)
        judged = words_only is None and await self._reads(text)
        confident = CONFIDENT[kind](ranked) if judged else None
        return Candidates(ranked, judged, confident, join_reasons(words_only, self._lag()))

    async def nearest(self, kind: ItemKind, text: str, where: IndexFilter, limit: int) -> Sequence[Ranked]:
        """Return the best items of the index; none while their meaning cannot be compared with that of the text."""
        try:
            answers, words_only = await self._search_index(kind, [text, *sentences(text)], where, limit)
        except (IndexUnavailable, EmbedderUnavailable):
            return ()
        return fuse(kind, answers)[:limit] if words_only is None else ()

    async def meaning(self, text: str) -> Vector | None:
        """Return the vector of a text by the configured model; None while it, or its index, is away."""
        embedder = self._embedders.of(self._index.shape)
        if embedder is not self._embedders.configured:
            return None
        try:
            with self._telemetry.stage("embed"):
                [vector] = await embedder.queries([text])
        except EmbedderUnavailable:
            return None
        return vector

    async def reranked(
        self, question: str, ranked: Sequence[Ranked], found: Mapping[UUID, Row], text_of: Callable[[Row, Ranked], str]
    ) -> tuple[Sequence[Ranked], str | None]:
        """Return the `found` candidates in the reranker's order; if it fails, all unchanged, and the reason."""
        if self._reranker is None:
            return ranked, None
        live = [hit for hit in ranked if hit.item_id in found]
        texts = [text_of(found[hit.item_id], hit) for hit in live[:RERANKED]]
        try:
            with self._telemetry.stage("rerank"):
                return reranked(live, await self._reranker.scores(question, texts) if texts else ()), None
        except RerankerUnavailable as error:
            return ranked, str(error)

    async def _search_index(
        self, kind: ItemKind, texts: Sequence[str], where: IndexFilter, limit: int
    ) -> tuple[list[Lanes], str | None]:
        """Return the lanes of the question and of its sentences, if it has several, and why only words were searched.

        Repeated if the generation was swapped meanwhile for one of another model, which ignores these vectors.
        """
        while True:
            shape = self._index.shape
            vectors, words_only = await self._vectors(texts, shape)
            model = None if shape is None else shape.model
            questions = [IndexQuery(*one, model) for one in zip(texts, vectors, strict=True)]
            with self._telemetry.stage("search"):
                answers = await self._index.search(kind, questions, where, limit)
            if self._index.shape == shape:
                return answers, words_only

    async def _reads(self, text: str) -> bool:
        embedder = self._embedders.of(self._index.shape)
        return embedder is not None and await embedder.reads(text)

    async def _vectors(self, texts: Sequence[str], shape: Shape | None) -> tuple[Sequence[Vector | None], str | None]:
        """Embed for a generation of this shape; without vectors, also return why it is searched by words only."""
        embedder = self._embedders.of(shape)
        try:
            if embedder is not None:
                with self._telemetry.stage("embed"):
                    return await embedder.queries(texts), None
        except EmbedderUnavailable as error:
            if embedder is self._embedders.configured:
                raise
            return [None] * len(texts), f"{OUTDATED} {error}"
        return [None] * len(texts), OUTDATED

    def _lag(self) -> str | None:
        return BEHIND if self._state.behind or self._state.error else None


def join_reasons(one: str | None, other: str | None) -> str | None:
    """Return both reasons why an answer is degraded as one text, None when there is none."""
    return " ".join(reason for reason in (one, other) if reason) or None


def candidate_limit(hits: int) -> int:
    """Return how many candidates to take from each lane for so many hits: Postgres may reject some."""
    return max(MIN_CANDIDATES, CANDIDATES_PER_HIT * hits)


def check_question(field: str, text: str) -> None:
    """Refuse a question that is blank, too long or cannot be encoded."""
    check_text(field, text, max_chars=MAX_QUERY_CHARS)
