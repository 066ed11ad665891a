"""Keeps the outcomes of tools, and asks past tasks which tools worked for a need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.experience import Evidence, ExperienceStore, PastTask, RecordedOutcome, Reports, ToolOutcome
from memos_mcp.domain.index import IndexFilter
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.retrieval.experience import NEIGHBOURS, Near, Votes, count_votes, likely
from memos_mcp.retrieval.fusion import Ranked
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.projector import Projector
from memos_mcp.services.search import Search
from memos_mcp.services.task_models import TaskModels

SWITCHED_OFF: Final = "Outcomes are not kept here: MEMOS_EXPERIENCE is false."


class NearExperience(NamedTuple):
    """What is known from past tasks about a need: the nearest, what was reported for them, and the shares of tools."""

    near: Sequence[Near]
    reports: Sequence[Reports]
    learnt: Mapping[str, float]


NOTHING: Final = NearExperience((), (), {})


class Experience:
    """Records outcomes, and counts the votes of past tasks. `now` is the clock.

    enabled: otherwise nothing is recorded, and nothing votes. A report waits up to `wait` seconds for the index.
    """

    def __init__(
        self,
        store: ExperienceStore,
        search: Search,
        projector: Projector,
        indexer: Indexer,
        now: Callable[[], datetime],
        wait: float,
        *,
        enabled: bool,
    ) -> None:
        self._store = store
        self._search = search
        self._projector = projector
        self._indexer = indexer
        self._now = now
        self._wait = wait
        self._enabled = enabled
        self._models = TaskModels(store, projector.model, lambda: indexer.caught_up, now)

    async def record(self, scope: Scope, outcome: ToolOutcome, client: Client | None = None) -> bool:
        """Record one outcome durably; return whether the namespace has the tool. It votes once its task is indexed.

        client: the program that called, if it is another than that of the scope.
        """
        return bool(await self.record_all(scope if client is None else replace(scope, client=client), [outcome]))

    async def record_all(self, scope: Scope, outcomes: Sequence[ToolOutcome]) -> int:
        """Record outcomes durably; return how many of them are of tools that the namespace has."""
        for outcome in outcomes:
            outcome.check()
        if not self._enabled or not outcomes:
            return 0
        return len(await self._add(scope, outcomes))

    async def report(self, scope: Scope, outcome: ToolOutcome) -> bool:
        """Record one outcome, and wait a short time until its task is indexed; return whether it is.

        Raises `NotFound` for a tool that the namespace does not have.
        """
        outcome.check()
        if not self._enabled:
            raise Invalid(SWITCHED_OFF)
        recorded = await self._add(scope, [outcome])
        if not recorded:
            raise NotFound("tool_id: no such tool in this namespace. Find its id with discover_tools.")
        task, new = recorded[0]
        return await self._indexer.wait_until_indexed("task", task, 1, fresh=new, seconds=self._wait)

    async def _add(self, scope: Scope, outcomes: Sequence[ToolOutcome]) -> list[RecordedOutcome]:
        recorded = await self._store.add(scope, outcomes, self._now())
        self._models.reported(scope.namespace, len(recorded))
        return recorded

    async def of(self, namespace: str, need: str) -> NearExperience:
        """Return what is known from past tasks about a need."""
        if not self._enabled:
            return NOTHING
        found = await self._search.nearest("task", need, IndexFilter(namespace), NEIGHBOURS)
        if not found:
            return NOTHING
        reports = await self._store.reports(namespace, [hit.item_id for hit in found])
        vector = await self._search.meaning(need)
        learnt = {} if vector is None else await self._models.shares(namespace, vector)
        return NearExperience([Near(hit.item_id, hit.strength) for hit in found], reports, learnt)

    async def votes(self, namespace: str, ranked: Sequence[Ranked], known: NearExperience) -> Votes:
        """Return the candidates after these past tasks, and what was learnt from all, have voted."""
        if not known.near:
            return Votes(ranked)
        uses = await self._store.uses(namespace, likely(ranked))
        return count_votes(ranked, known.near, Evidence(known.reports, uses), known.learnt, self._now())

    async def past_tasks(self, scope: Scope, words: str | None, limit: int) -> list[PastTask]:
        """Return the newest past tasks, those that contain these words if some are given."""
        return await self._store.past_tasks(scope.namespace, words, limit)

    async def forget(self, scope: Scope, task_ids: Sequence[UUID]) -> set[UUID]:
        """Delete past tasks, their outcomes and their vectors; return the ids of those that there were."""
        digests = await self._projector.digests(await self._store.text_of(scope.namespace, task_ids))
        forgotten = await self._store.forget(scope.namespace, task_ids, digests)
        self._models.forget(scope.namespace)
        await self._indexer.wait_until_dropped("task", list(forgotten), self._wait)
        # An indexer that had read such a task before may have stored its vector after the deletion.
        await self._store.forget(scope.namespace, task_ids, digests)
        return forgotten
