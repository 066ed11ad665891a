"""Answers a question about memories: candidates of the index, decided by Postgres, in the order of an answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.memory import Memory, MemoryHit, MemoryPage, MemoryQuery, MemoryStore
from memos_mcp.retrieval import pagination
from memos_mcp.retrieval.fusion import Ranked
from memos_mcp.retrieval.preferences import IMPORTANCE_WEIGHT, preferred, undecided
from memos_mcp.services.projections import memory_filter
from memos_mcp.services.search import MAX_CANDIDATES, MAX_LISTS, Candidates, Search, candidate_limit, join_reasons

Position: TypeAlias = tuple[str | int, ...]

RERANKER_SKIPPED: Final = "This answer continues without the reranker, as it began."

PAST_CANDIDATES: Final = 5
"""How many times as many candidates are asked for about the past: many may have been stored since."""


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """The start of the next page of an answer, its candidate limit, and whether its first hits were reranked.

    With another limit or order than on the pages before, some hits would be repeated and others lost.
    """

    offset: int
    candidate_limit: int
    reranked: bool

    def after(self, count: int) -> Position:
        """Return the position after so many more hits."""
        return (self.offset + count, self.candidate_limit, *((1,) if self.reranked else ()))


class _Live(NamedTuple):
    """The candidates that Postgres admits, in order, with their rows.

    repeated: contents that several candidates have, of which the first one is kept. unread: how many were not read.
    """

    ranked: Sequence[Ranked]
    rows: Mapping[UUID, Memory]
    repeated: Collection[str]
    unread: int


class MemorySearch:
    """Ranks memories for a question."""

    def __init__(self, store: MemoryStore, search: Search) -> None:
        self._store = store
        self._search = search

    async def page(
        self, namespace: str, query: MemoryQuery, text: str, question: str, position: Position | None, now: datetime
    ) -> MemoryPage:
        """Return a page of the answer to a question, best first."""
        start = _search_start(position, query)
        at = query.as_of or now
        candidates = await self._candidates(namespace, query, text, start.candidate_limit, at)
        ranked = _strong(candidates.ranked, query.min_score)
        live = await self._live(namespace, query, ranked, start.offset + query.limit + 1, at)
        order, reason = await self._order(text, live, start)
        start = replace(start, reranked=start.reranked and self._search.rerank_depth > 0 and reason is None)
        shown = order[start.offset : start.offset + query.limit]
        hits = [
            MemoryHit(live.rows[hit.item_id], start.after(count), hit.score, hit.signals, hit.span)
            for count, hit in enumerate(shown, start=1)
        ]
        total = len(order) + live.unread
        more = total > start.offset + len(hits)
        hits = await self._completed(namespace, query, hits, live.repeated, at)
        return MemoryPage(hits, total, more, question, candidates.confident, join_reasons(candidates.degraded, reason))

    async def _completed(
        self, namespace: str, query: MemoryQuery, hits: list[MemoryHit], repeated: Collection[str], at: datetime
    ) -> list[MemoryHit]:
        """Return the hits with their numbers of copies, and with their earlier versions if they are asked for."""
        if query.include_superseded:
            earlier = await self._store.earlier(namespace, [hit.memory.memory_id for hit in hits])
            return [replace(hit, earlier=earlier.get(hit.memory.memory_id, ())) for hit in hits]
        hashes = {hit.memory.content_hash for hit in hits if hit.memory.content in repeated}
        if not hashes or query.versions != "live":
            return hits
        copies = await self._store.copies(namespace, sorted(hashes), at)
        return [replace(hit, copies=copies.get(hit.memory.content_hash, 0)) for hit in hits]

    async def _candidates(self, namespace: str, query: MemoryQuery, text: str, limit: int, at: datetime) -> Candidates:
        async def text_search(limit: int, *, queued_only: bool) -> Sequence[Match]:
            versions = "live" if queued_only else query.versions
            return await self._store.text_search(
                namespace, text, query.filter, limit, at, versions, queued_only=queued_only
            )

        outside = () if query.versions == "live" else await text_search(limit, queued_only=False)
        where = memory_filter(namespace, query.filter, at)
        return await self._search.candidates("memory", text, where, limit, text_search, outside)

    async def _live(
        self, namespace: str, query: MemoryQuery, ranked: Sequence[Ranked], count: int, at: datetime
    ) -> _Live:
        """Read the candidates that may be among the first `count`, or all, and put them in order.

        Of those with the same content the first one stands for all.
        """
        first = max(count, self._search.rerank_depth)
        by_rank = query.versions == "live" and query.half_life_days is None
        read = undecided([hit.strength for hit in ranked], first) if by_rank else len(ranked)
        rows, hits = await self._rows(namespace, query, ranked[:read], at)
        order, repeated = _in_order(hits, rows, query, at)
        if len(order) < min(first, len(ranked)) and read < len(ranked):
            others, more = await self._rows(namespace, query, ranked[read:], at)
            rows, read = {**rows, **others}, len(ranked)
            order, repeated = _in_order([*hits, *more], rows, query, at)
        return _Live(order, rows, repeated, len(ranked) - read)

    async def _rows(
        self, namespace: str, query: MemoryQuery, ranked: Sequence[Ranked], at: datetime
    ) -> tuple[dict[UUID, Memory], list[Ranked]]:
        """Return the rows of the candidates that answer, and their candidates."""
        ids = [hit.item_id for hit in ranked]
        found = await self._store.get(namespace, ids, query.filter, at, query.versions)
        if query.versions == "then":
            ranked = await self._with_earlier(namespace, query, ranked, found, at)
        return found, [hit for hit in ranked if hit.item_id in found]

    async def _with_earlier(
        self, namespace: str, query: MemoryQuery, ranked: Sequence[Ranked], found: dict[UUID, Memory], at: datetime
    ) -> list[Ranked]:
        """Put the version that was live then in place of each one that was not; add its row to `found`."""
        later = [hit.item_id for hit in ranked if hit.item_id not in found]
        versions = await self._store.earlier(namespace, later)
        ids = [memory.memory_id for chain in versions.values() for memory in chain]
        found |= await self._store.get(namespace, ids, query.filter, at, "then")
        replaced: list[Ranked] = []
        for hit in ranked:
            then = [memory for memory in versions.get(hit.item_id, ()) if memory.memory_id in found]
            replaced += [
                hit._replace(item=str(memory.memory_id), span=Span(0, len(memory.content))) for memory in then
            ] or [hit]
        return replaced

    async def _order(self, text: str, live: _Live, start: SearchPosition) -> tuple[Sequence[Ranked], str | None]:
        """Rerank the first hits, unless all are on earlier pages, or those pages were not reranked."""
        if start.offset >= self._search.rerank_depth:
            return live.ranked, None
        if not start.reranked:
            return live.ranked, RERANKER_SKIPPED
        return await self._search.reranked(text, live.ranked, live.rows, _passage)


def _in_order(
    hits: Sequence[Ranked], rows: Mapping[UUID, Memory], query: MemoryQuery, at: datetime
) -> tuple[list[Ranked], set[str]]:
    """Return the candidates in the order of the answer, the first of each content, and the repeated contents.

    Of equally strong ones the newest comes first: the same words in two sessions fit a question exactly equally.
    """
    weighed = [
        (preferred(hit, row.importance, row.occurred_at, at, query.half_life_days), row)
        for hit, row in ((hit, rows[hit.item_id]) for hit in hits)
    ]
    weighed.sort(key=lambda pair: (pair[0].strength, pair[1].occurred_at, pair[1].sequence), reverse=True)
    once: dict[str, Ranked] = {}
    repeated = set[str]()
    for hit, row in weighed:
        content = row.content
        if content in once:
            repeated.add(content)
        elif query.min_score is None or hit.score >= query.min_score:
            once[content] = hit
    return list(once.values()), repeated


def _strong(ranked: Sequence[Ranked], min_score: float | None) -> Sequence[Ranked]:
    """Return the candidates whose score, with any importance, may reach the least one that is asked for."""
    if min_score is None:
        return ranked
    return [hit for hit in ranked if hit._replace(strength=hit.strength + IMPORTANCE_WEIGHT / 2).score >= min_score]


def _passage(memory: Memory, hit: Ranked) -> str:
    return memory.content[slice(*hit.span)]


def _search_start(position: Position | None, query: MemoryQuery) -> SearchPosition:
    match position:
        case None:
            limit = candidate_limit(query.limit)
            if query.versions == "then":
                limit = min(PAST_CANDIDATES * limit, MAX_CANDIDATES)
            return SearchPosition(0, limit, reranked=True)
        case (int(offset), int(limit), *mark) if 0 <= offset <= MAX_LISTS * limit and limit <= MAX_CANDIDATES:
            if mark in ([], [1]):
                return SearchPosition(offset, limit, reranked=bool(mark))
    raise pagination.invalid_cursor()
