"""Registers and discovers tools."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter

from anyio.to_thread import run_sync

from memos_mcp.domain.index import Match
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import (
    NewTool,
    Registered,
    Tool,
    ToolFilter,
    ToolHit,
    ToolPage,
    ToolQuery,
    ToolStore,
    Upserted,
)
from memos_mcp.retrieval.experience import Votes
from memos_mcp.retrieval.fusion import round_robin
from memos_mcp.services.concurrency import both
from memos_mcp.services.experience import Experience, NearExperience
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.projections import tool_filter, tool_text
from memos_mcp.services.search import Candidates, Search, candidate_limit, check_question, join_reasons


class Tools:
    """Registers tools in Postgres and queries the index. A registration waits up to `wait` seconds for it."""

    def __init__(
        self,
        store: ToolStore,
        search: Search,
        experience: Experience,
        indexer: Indexer,
        now: Callable[[], datetime],
        wait: float,
    ) -> None:
        self._store = store
        self._search = search
        self._experience = experience
        self._indexer = indexer
        self._now = now
        self._wait = wait

    async def register(self, scope: Scope, new: NewTool) -> Registered:
        """Register or update one tool durably, then wait a short time until it is indexed."""
        done = await self.record(scope, new)
        indexed = await self._indexer.wait_until_indexed(
            "tool", done.id, done.version, fresh=done.outcome != "unchanged", seconds=self._wait
        )
        return Registered(new.tool_id, done.outcome, done.version, indexed)

    async def record(self, scope: Scope, new: NewTool) -> Upserted:
        """Register or update one tool without waiting for the index."""
        await run_sync(new.check)  # checking a schema of thousands of parts takes a second
        return await self._store.upsert(scope.namespace, new, self._now())

    async def unregister(self, scope: Scope, tool_ids: Sequence[str]) -> list[str]:
        """Delete tools of the scope's namespace; return the ids of those that there were."""
        return await self._store.delete(scope.namespace, tool_ids)

    async def discover(self, scope: Scope, query: ToolQuery) -> ToolPage:
        """Find tools for one or several needs, exact ids and names first; without a need, list them by name."""
        query.filter.check()
        for text in query.texts:
            check_question("query" if len(query.texts) == 1 else "an entry of queries", text)
        withheld = await self._withheld(scope.namespace, query.filter)
        if query.texts:
            return await self._ask(scope.namespace, query, withheld)
        rows = await self._store.by_name(scope.namespace, query.filter, query.limit)
        total = await self._store.count(scope.namespace, query.filter)
        return ToolPage([ToolHit(tool) for tool in rows], total, withheld)

    async def get(self, scope: Scope, tool_ids: Sequence[str]) -> dict[str, Tool]:
        """Return those of these tools that are registered in the scope's namespace."""
        named = await self._store.named(scope.namespace, tool_ids, ToolFilter())
        return {tool.tool_id: tool for tool in named if tool.tool_id in tool_ids}

    async def _ask(self, namespace: str, query: ToolQuery, withheld: int) -> ToolPage:
        found_both = [
            await both(partial(self._candidates, namespace, text, query), partial(self._experience.of, namespace, text))
            for text in query.texts
        ]
        answers = [answer for answer, _ in found_both]
        votes, named = await both(
            partial(self._votes, namespace, found_both),
            partial(self._store.named, namespace, query.texts, query.filter),
        )
        proposed = dict.fromkeys(hit.item_id for vote in votes for hit in vote.ranked)
        found = await self._store.get(namespace, list(proposed), query.filter)
        orders = [
            await self._search.reranked(text, vote.ranked, found, lambda tool, _: tool_text(tool))
            for text, vote in zip(query.texts, votes, strict=True)
        ]
        counted = {item: count for vote in reversed(votes) for item, count in vote.counted.items()}
        hits = {tool.id: ToolHit(tool, 1.0, {"exact": 1.0}, counted.get(str(tool.id))) for tool in named}
        for hit in round_robin([ranked for ranked, _ in orders], key=attrgetter("item")):
            if hit.item_id in found:
                hits.setdefault(hit.item_id, ToolHit(found[hit.item_id], hit.score, hit.signals, counted.get(hit.item)))
        degraded = join_reasons(_first(answer.degraded for answer in answers), _first(reason for _, reason in orders))
        firsts = [_first(hit.item for hit in ranked if hit.item_id in found) for ranked, _ in orders]
        confident = _all_sure(query.texts, answers, firsts, named)
        if not hits and not await self._store.count(namespace, query.filter):
            confident = False
        judged = all(answer.judged for answer in answers)
        return ToolPage(list(hits.values())[: query.limit], len(hits), withheld, confident, degraded, judged)

    async def _votes(self, namespace: str, found: Sequence[tuple[Candidates, NearExperience]]) -> list[Votes]:
        return [await self._experience.votes(namespace, answer.ranked, past) for answer, past in found]

    async def _candidates(self, namespace: str, text: str, query: ToolQuery) -> Candidates:
        async def text_search(limit: int, *, queued_only: bool) -> Sequence[Match]:
            return await self._store.text_search(namespace, text, query.filter, limit, queued_only=queued_only)

        condition = tool_filter(namespace, query.filter)
        return await self._search.candidates("tool", text, condition, candidate_limit(query.limit), text_search)

    async def _withheld(self, namespace: str, filter: ToolFilter) -> int:
        if filter.agent_has is None:
            return 0
        every = await self._store.count(namespace, ToolFilter(required=filter.required))
        return every - await self._store.count(namespace, filter)


def _all_sure(
    texts: Sequence[str], answers: Sequence[Candidates], firsts: Sequence[str | None], named: Sequence[Tool]
) -> bool | None:
    """Return True if each need has a tool of exactly this name, or a first tool that is almost certainly right.

    firsts: the tool shown first for each need. Where it is not the one that was judged, nothing is known of it.
    """
    names = {name for tool in named for name in (tool.tool_id, tool.name.lower())}
    sure = (
        text in names or text.lower() in names or (answer.confident is True and answer.ranked[0].item == first)
        for text, answer, first in zip(texts, answers, firsts, strict=True)
    )
    return True if all(sure) else None


def _first(values: Iterable[str | None]) -> str | None:
    return next(filter(None, values), None)
