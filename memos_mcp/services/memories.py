"""Stores and queries memories."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

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
from memos_mcp.domain.source_metadata import seen_from
from memos_mcp.retrieval import pagination
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.memory_search import MemorySearch, Position
from memos_mcp.services.near_duplicates import NearDuplicates
from memos_mcp.services.related_parts import with_related
from memos_mcp.services.search import Search, check_question

ANY: Final = MemoryQuery()


class Memories:
    """Stores memories in Postgres and queries the index. `now` is the clock; a store waits `wait` seconds for it."""

    def __init__(
        self,
        store: MemoryStore,
        search: Search,
        near_duplicates: NearDuplicates,
        indexer: Indexer,
        now: Callable[[], datetime],
        wait: float,
    ) -> None:
        self._store = store
        self._near_duplicates = near_duplicates
        self._answers = MemorySearch(store, search)
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
        similar = (
            await self._near_duplicates.of(scope.namespace, added.memory_id, new.content, self._now())
            if added.created and indexed
            else ()
        )
        return Stored(added.memory_id, added.created, indexed, added.merged, similar)

    async def store_many(self, scope: Scope, new: Sequence[NewMemory]) -> list[Added]:
        """Store a batch of memories that were checked, in one transaction, without waiting for the index."""
        return await self._store.add_many(scope, new, self._now())

    async def query(self, scope: Scope, query: MemoryQuery) -> MemoryPage:
        """Answer a question, best first; without a text, list what the filters admit, newest first."""
        query.check()
        question = pagination.fingerprint(
            scope.namespace,
            query.text,
            astuple(query.filter),
            query.min_score,
            query.versions,
            query.as_of,
            query.half_life_days,
        )
        position = None if query.cursor is None else pagination.decode(query.cursor, question)
        if query.text is None:
            return await self._described(scope, query, await self._list(scope, query, question, position))
        check_question("query", query.text)
        page = await self._answers.page(scope.namespace, query, query.text, question, position, self._now())
        return await self._described(scope, query, page)

    async def read(self, scope: Scope, memory_ids: Sequence[UUID], query: MemoryQuery = ANY) -> MemoryPage:
        """Return these memories in this order, from the query's cursor on, and which of them do not answer it."""
        query.check()
        ids = list(dict.fromkeys(memory_ids))
        question = pagination.fingerprint(scope.namespace, ids, query.versions, query.as_of)
        start = 0 if query.cursor is None else _read_position(pagination.decode(query.cursor, question))
        at = query.as_of or self._now()
        found = await self._store.get(scope.namespace, ids, query.filter, at, query.versions)
        earlier = await self._store.earlier(scope.namespace, ids) if query.include_superseded else {}
        asked = ids[start:]
        hits = [
            MemoryHit(found[one], (number,), earlier=earlier.get(one, ()))
            for number, one in enumerate(asked, start + 1)
            if one in found
        ]
        missing = [one for one in asked if one not in found]
        page = MemoryPage(hits, len(found), more=False, fingerprint=question, missing=missing)
        return await self._described(scope, query, page)

    async def get(self, scope: Scope, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        """Return those of these memories that are live in the scope's namespace."""
        return await self._store.get(scope.namespace, ids, MemoryFilter(), self._now())

    async def _list(self, scope: Scope, query: MemoryQuery, question: str, position: Position | None) -> MemoryPage:
        at = query.as_of or self._now()
        after = None if position is None else _list_key(position)
        rows = await self._store.newest(scope.namespace, query.filter, after, query.limit + 1, at, query.versions)
        total = await self._store.count(scope.namespace, query.filter, at, query.versions)
        shown = rows[: query.limit]
        ids = [memory.memory_id for memory in shown]
        earlier = await self._store.earlier(scope.namespace, ids) if query.include_superseded else {}
        hits = [
            MemoryHit(memory, _list_position(memory), earlier=earlier.get(memory.memory_id, ())) for memory in shown
        ]
        return MemoryPage(hits, total, len(rows) > query.limit, question)

    async def _described(self, scope: Scope, query: MemoryQuery, page: MemoryPage) -> MemoryPage:
        """Return the page as its reader sees it: with related paths, which are not known of the past, and own lines."""
        if query.versions != "then":
            at = query.as_of or self._now()
            page = replace(page, hits=await with_related(self._store, scope.namespace, page.hits, at))
        return _seen_from_the_source(query, page)


def _seen_from_the_source(query: MemoryQuery, page: MemoryPage) -> MemoryPage:
    """Return the page with the lines of each memory in the source that the filter names, if it names one."""
    source = (query.filter.metadata or {}).get("source")
    if source is None:
        return page
    memories = (replace(hit.memory, metadata=seen_from(hit.memory.metadata, source)) for hit in page.hits)
    return replace(page, hits=[replace(hit, memory=memory) for hit, memory in zip(page.hits, memories, strict=True)])


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
