"""Keeps the model of each namespace that was learnt from its past tasks, and learns it again as these become more."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import anyio
from anyio.to_thread import run_sync

from memos_mcp.domain.experience import ExperienceStore, Reports
from memos_mcp.domain.index import Vector
from memos_mcp.retrieval.experience import currency, limited

if TYPE_CHECKING:  # it imports numpy, for which no start waits
    from memos_mcp.retrieval.task_model import TaskModel

MAX_EXAMPLES: Final = 20_000
"""The newest reports that a model is learnt from: their vectors take 30 MB while it is learnt."""

MAX_MODELS: Final = 64
"""Namespaces whose models are kept; each takes 1.5 KB a tool."""

GROWTH: Final = 0.05
"""New reports, as a share of those a model was learnt from, after which it is learnt again."""

FEWEST_NEW: Final = 20
MAX_AGE: Final = timedelta(minutes=10)
"""When a model is learnt again anyway: other engines report, too, and reports age."""

PROVISIONAL_AGE: Final = timedelta(seconds=5)
"""The same while tasks wait to be indexed: they have no vectors yet."""


@dataclass(frozen=True, slots=True)
class _Learnt:
    model: "TaskModel | None"
    examples: int
    expires: datetime


class TaskModels:
    """The models by namespace.

    embedding_model: what needs are embedded with.  caught_up: whether no task waits to be indexed.
    """

    def __init__(
        self,
        store: ExperienceStore,
        embedding_model: str,
        caught_up: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._embedding_model = embedding_model
        self._caught_up = caught_up
        self._now = now
        self._learnt: OrderedDict[str, _Learnt] = OrderedDict()
        self._new: Counter[str] = Counter()
        self._learning = anyio.Lock()

    def reported(self, namespace: str, count: int) -> None:
        """Take notice of new reports."""
        self._new[namespace] += count

    def forget(self, namespace: str) -> None:
        """Drop the model of a namespace: something that it was learnt from was deleted."""
        self._learnt.pop(namespace, None)

    async def shares(self, namespace: str, need: Vector) -> dict[str, float]:
        """Return the probability of each tool for a need of this vector; none while there is no model.

        One caller learns a stale model again, while others use it.
        """
        known = self._learnt.get(namespace)
        if known is None or (self._is_stale(namespace, known) and not self._learning.locked()):
            async with self._learning:
                known = self._learnt.get(namespace)
                if known is None or self._is_stale(namespace, known):
                    known = await self._learn(namespace)
        return {} if known.model is None else known.model.shares(need)

    def _is_stale(self, namespace: str, known: _Learnt) -> bool:
        enough = max(FEWEST_NEW, GROWTH * known.examples)
        return self._new[namespace] >= enough or self._now() >= known.expires

    async def _learn(self, namespace: str) -> _Learnt:
        self._new[namespace] = 0
        now, age = self._now(), MAX_AGE if self._caught_up() else PROVISIONAL_AGE
        reports, vectors = await self._store.examples(namespace, self._embedding_model, MAX_EXAMPLES)
        model = await run_sync(_model, reports, vectors, now) if reports else None
        self._learnt[namespace] = learnt = _Learnt(model, len(reports), now + age)
        self._learnt.move_to_end(namespace)
        while len(self._learnt) > MAX_MODELS:
            self._learnt.popitem(last=False)
        return learnt


def _model(reports: Sequence[Reports], vectors: Vector, now: datetime) -> "TaskModel | None":
    from memos_mcp.retrieval.task_model import learn

    weights = [one.worked / one.outcomes * currency(one, now) for one in reports]
    return learn(vectors, [str(one.tool) for one in reports], limited(weights, [one.agent_id for one in reports]))
