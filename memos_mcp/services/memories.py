"""Stores and queries memories."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import Match
from memos_mcp.domain.memory import (
    Added,
    ListPosition,
    Memory,
    MemoryFilter,
    MemoryHit,
    MemoryPage,
    MemoryQuery,
    MemoryStore,
    NewMemory,
    Stored,
)
from memos_mcp.domain.scope import Scope
from memos_mcp.retrieval import pagination
from memos_mcp.retrieval.fusion import Ranked
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.projections import memory_filter
from memos_mcp.services.search import MAX_CANDIDATES, MAX_LISTS, Search, candidate_limit, check_question, join_reasons

Position: TypeAlias = tuple[str | int, ...]

RERANKER_SKIPPED: Final = "This answer continues without the reranker, as it began."


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


class Memories:
    """Stores memories in Postgres and queries the index. `now` is the clock; a store waits `wait` seconds for it."""

    def __init__(
        self, store: MemoryStore, search: Search, indexer: Indexer, now: Callable[[], datetime], wait: float
    ) -> None:
        self._store = store
        self._search = search
        self._indexer = indexer
        self._now = now
        self._wait = wait

    async def store(self, scope: Scope, new: NewMemory) -> Stored:
        """Store one memory durably, then wait a short time until it is indexed."""
        new.check()
        added = await self._store.add(scope, new, self._now())
        indexed = await self._indexer.wait_until_indexed(
            "memory", added.memory_id, added.version, fresh=added.created, seconds=self._wait
        )
        return Stored(added.memory_id, added.created, indexed, added.merged)

    async def store_many(self, scope: Scope, new: Sequence[NewMemory]) -> list[Added]:
        """Store a batch in one transaction, without waiting for the index."""
        for memory in new:
            memory.check()
        return await self._store.add_many(scope, new, self._now())

    async def query(self, scope: Scope, query: MemoryQuery) -> MemoryPage:
        """Answer a question, best first; without a text, list what the filters admit, newest first."""
        query.filter.check()
        question = pagination.fingerprint(scope.namespace, query.text, astuple(query.filter), query.min_score)
        position = None if query.cursor is None else pagination.decode(query.cursor, question)
        if query.text is None:
            return await self._list(scope, query, question, position)
        check_question("query", query.text)
        return await self._ask(scope, query, query.text, question, position)

    async def read(self, scope: Scope, memory_ids: Sequence[UUID], cursor: str | None = None) -> MemoryPage:
        """Return these memories in this order, from the cursor on, and which of them are not live in the namespace."""
        ids = list(dict.fromkeys(memory_ids))
        question = pagination.fingerprint(scope.namespace, ids)
        start = 0 if cursor is None else _read_position(pagination.decode(cursor, question))
        found = await self.get(scope, ids)
        asked = ids[start:]
        hits = [MemoryHit(found[one], (number,)) for number, one in enumerate(asked, start + 1) if one in found]
        missing = [one for one in asked if one not in found]
        return MemoryPage(hits, len(found), more=False, fingerprint=question, missing=missing)

    async def get(self, scope: Scope, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        """Return those of these memories that are live in the scope's namespace."""
        return await self._store.get(scope.namespace, ids, MemoryFilter(), self._now())

    async def _list(self, scope: Scope, query: MemoryQuery, question: str, position: Position | None) -> MemoryPage:
        if query.min_score is not None:
            raise Invalid("min_score needs a query: a listing has no scores. Leave min_score out.")
        now = self._now()
        after = None if position is None else _list_key(position)
        rows = await self._store.newest(scope.namespace, query.filter, after, query.limit + 1, now)
        total = await self._store.count(scope.namespace, query.filter, now)
        hits = [MemoryHit(memory, _list_position(memory)) for memory in rows[: query.limit]]
        return MemoryPage(hits, total, len(rows) > query.limit, question)

    async def _ask(
        self, scope: Scope, query: MemoryQuery, text: str, question: str, position: Position | None
    ) -> MemoryPage:
        now, namespace = self._now(), scope.namespace
        start = _search_start(position, query.limit)

        async def text_search(limit: int, *, queued_only: bool) -> Sequence[Match]:
            return await self._store.text_search(namespace, text, query.filter, limit, now, queued_only=queued_only)

        candidates = await self._search.candidates(
            "memory", text, memory_filter(namespace, query.filter, now), start.candidate_limit, text_search
        )
        ranked = candidates.ranked
        if query.min_score is not None:
            ranked = [hit for hit in ranked if hit.score >= query.min_score]
        # One more shows whether there is a next page.
        read = max(start.offset + query.limit + 1, self._search.rerank_depth)
        found = await self._store.get(namespace, _ids(ranked[:read]), query.filter, now)
        if len(found) < read < len(ranked):
            found |= await self._store.get(namespace, _ids(ranked[read:]), query.filter, now)
            read = len(ranked)
        live = [hit for hit in ranked[:read] if hit.item_id in found]
        order, reason = await self._order(text, live, found, start)
        start = replace(start, reranked=start.reranked and self._search.rerank_depth > 0 and reason is None)
        hits = [
            MemoryHit(found[hit.item_id], start.after(count), hit.score, hit.signals, hit.span)
            for count, hit in enumerate(order[start.offset : start.offset + query.limit], start=1)
        ]
        total = len(live) + len(ranked[read:])
        more = total > start.offset + len(hits)
        return MemoryPage(hits, total, more, question, candidates.confident, join_reasons(candidates.degraded, reason))

    async def _order(
        self, text: str, live: Sequence[Ranked], found: Mapping[UUID, Memory], start: SearchPosition
    ) -> tuple[Sequence[Ranked], str | None]:
        """Rerank the first hits, unless all are on earlier pages, or those pages were not reranked."""
        if start.offset >= self._search.rerank_depth:
            return live, None
        if not start.reranked:
            return live, RERANKER_SKIPPED
        return await self._search.reranked(text, live, found, _passage)


def _passage(memory: Memory, hit: Ranked) -> str:
    return memory.content[slice(*hit.span)]


def _ids(ranked: Sequence[Ranked]) -> list[UUID]:
    return [hit.item_id for hit in ranked]


def _list_position(memory: Memory) -> Position:
    return (memory.occurred_at.isoformat(), memory.sequence)


def _list_key(position: Position) -> ListPosition:
    match position:
        case (str(time), int(sequence)):
            with suppress(ValueError, OverflowError):
                return ListPosition(datetime.fromisoformat(time).astimezone(UTC), sequence)
    raise pagination.invalid_cursor()


def _read_position(position: Position) -> int:
    match position:
        case (int(number),) if number >= 0:
            return number
    raise pagination.invalid_cursor()


def _search_start(position: Position | None, hits: int) -> SearchPosition:
    match position:
        case None:
            return SearchPosition(0, candidate_limit(hits), reranked=True)
        case (int(offset), int(limit), *mark) if 0 <= offset <= MAX_LISTS * limit and limit <= MAX_CANDIDATES:
            if mark in ([], [1]):
                return SearchPosition(offset, limit, reranked=bool(mark))
    raise pagination.invalid_cursor()
