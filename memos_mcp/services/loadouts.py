"""Gathers the pinned and found memories and tools for a task, from the namespaces that an agent may read."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from memos_mcp.domain.loadout import (
    MEMORY_THRESHOLDS,
    TOOL_THRESHOLDS,
    Loadout,
    LoadoutStore,
    Relevance,
    RelevanceThresholds,
    check_needs,
    relevance,
)
from memos_mcp.domain.memory import MemoryHit, MemoryQuery
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolFilter, ToolHit, ToolQuery
from memos_mcp.retrieval.packing import PackCandidate, PackQuery
from memos_mcp.services.concurrency import gather
from memos_mcp.services.loadout_watches import LoadoutWatches
from memos_mcp.services.memories import Memories
from memos_mcp.services.projections import tool_text
from memos_mcp.services.tools import Tools

MEMORIES_PER_QUERY: Final = 20
TOOLS_PER_QUERY: Final = 10
MAX_CONCURRENT: Final = 4
"""Concurrent queries of one kind: enough to share inferences, few enough to leave database connections."""

REASON_CHARS: Final = 80

Hit = TypeVar("Hit", MemoryHit, ToolHit)


@dataclass(frozen=True, slots=True)
class LoadoutQuery:
    """A query text, and the reason that its finds are given."""

    text: str
    reason: str
    need: bool = False


class Found(NamedTuple, Generic[Hit]):
    """The answer to a query: hits by key, best first. `judged`: whether their cosines say anything."""

    hits: Sequence[tuple[str, Hit]]
    degraded: str | None
    judged: bool


@dataclass(slots=True)
class Proposals(Generic[Hit]):
    """Pins and hits by key, those of the connection's own namespace first, and the finds of each query.

    unjudged: indices of the queries whose script the embedding model cannot read: only words say what covers them.
    """

    pins: list[str] = field(default_factory=list)
    hits: dict[str, Hit] = field(default_factory=dict)
    asks: list[PackQuery] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unjudged: set[int] = field(default_factory=set)
    withheld: int = 0
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """The candidates for a pack. `needs` are the texts of the needs, which come first in both `asks`."""

    loadout: Loadout
    needs: Sequence[str]
    memories: Proposals[MemoryHit]
    tools: Proposals[ToolHit]

    @property
    def degraded(self) -> str | None:
        """The reason why something could not be searched, if any."""
        return self.memories.degraded or self.tools.degraded


class Loadouts:
    """Queries memories and tools concurrently for a loadout and a task. `watches` are those of their definitions."""

    def __init__(self, memories: Memories, tools: Tools, store: LoadoutStore) -> None:
        self._memories = memories
        self._tools = tools
        self._store = store
        self.watches = LoadoutWatches(store)

    async def names(self, scope: Scope) -> Sequence[str]:
        """Return the names of the loadouts that a connection may use, in order."""
        return await self._store.names(scope.namespace)

    async def gather(self, scope: Scope, name: str | None, task: str, needs: Sequence[str] = ()) -> Gathered:
        """Gather for the loadout of this name, without one for any agent; raise `NotFound` when there is none."""
        needs = list(dict.fromkeys(needs))
        check_needs(task, needs)
        loadout = Loadout() if name is None else await self._store.get(name, scope.namespace)
        scopes = [replace(scope, namespace=namespace) for namespace in loadout.reads(scope.namespace)]
        questions = _questions(task, needs)
        searches = [LoadoutQuery(text, _reason("search", text)) for text in loadout.searches]
        memories, tools = Proposals[MemoryHit](), Proposals[ToolHit]()
        await gather(
            [
                partial(self._gather_memories, scopes, loadout, [*questions, *searches], memories),
                partial(self._gather_tools, scopes, loadout, questions, tools),
            ],
            limit=2,
        )
        return Gathered(loadout, needs or [task], memories, tools)

    async def _gather_memories(
        self, scopes: Sequence[Scope], loadout: Loadout, questions: Sequence[LoadoutQuery], into: Proposals[MemoryHit]
    ) -> None:
        for scope in scopes if loadout.pinned_memories else ():
            found = await self._memories.get(scope, loadout.pinned_memories)
            into.hits |= {str(memory_id): MemoryHit(memory, ()) for memory_id, memory in found.items()}
        _resolve_pins(into, [str(memory_id) for memory_id in loadout.pinned_memories])

        async def query(scope: Scope, question: LoadoutQuery) -> Found[MemoryHit]:
            page = await self._memories.query(scope, MemoryQuery(question.text, limit=MEMORIES_PER_QUERY))
            hits = [(str(hit.memory.memory_id), hit) for hit in page.hits]
            return Found(hits, page.degraded, judged=page.confident is not None)

        await _query_all(scopes, questions, query, into, _memory_text, MEMORY_THRESHOLDS)

    async def _gather_tools(
        self, scopes: Sequence[Scope], loadout: Loadout, questions: Sequence[LoadoutQuery], into: Proposals[ToolHit]
    ) -> None:
        wanted = ToolFilter(agent_has=loadout.capabilities)
        for scope in scopes:
            if loadout.pinned_tools:
                for tool_id, tool in (await self._tools.get(scope, loadout.pinned_tools)).items():
                    into.hits.setdefault(tool_id, ToolHit(tool))
            if loadout.capabilities is not None:
                into.withheld += (await self._tools.discover(scope, ToolQuery((), wanted, limit=1))).withheld
        _resolve_pins(into, loadout.pinned_tools)

        async def query(scope: Scope, question: LoadoutQuery) -> Found[ToolHit]:
            page = await self._tools.discover(scope, ToolQuery([question.text], wanted, TOOLS_PER_QUERY))
            hits = [(hit.tool.tool_id, hit) for hit in page.hits]
            return Found(hits, page.degraded, judged=page.judged)

        await _query_all(scopes, questions, query, into, lambda hit: tool_text(hit.tool), TOOL_THRESHOLDS)


def _questions(task: str, needs: Sequence[str]) -> list[LoadoutQuery]:
    """Return the needs, or the task as the only one, and the task."""
    if not needs:
        return [LoadoutQuery(task, "task", need=True)]
    return [*(LoadoutQuery(need, _reason("need", need), need=True) for need in needs), LoadoutQuery(task, "task")]


def _reason(kind: str, text: str) -> str:
    short = text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 1] + "…"
    return f"{kind}: {short}"


def _resolve_pins(into: Proposals[Any], wanted: Sequence[str]) -> None:
    into.pins = [key for key in dict.fromkeys(wanted) if key in into.hits]
    into.missing = [key for key in dict.fromkeys(wanted) if key not in into.hits]


async def _query_all(
    scopes: Sequence[Scope],
    questions: Sequence[LoadoutQuery],
    query: Callable[[Scope, LoadoutQuery], Awaitable[Found[Hit]]],
    into: Proposals[Hit],
    text_of: Callable[[Hit], str],
    thresholds: RelevanceThresholds,
) -> None:
    """Run every query in every namespace; keep the hits that cover it or are related to it."""
    calls = [partial(query, scope, question) for question in questions for scope in scopes]
    answers = await gather(calls, MAX_CONCURRENT)
    for index, question in enumerate(questions):
        finds: list[PackCandidate] = []
        for found in answers[index * len(scopes) : (index + 1) * len(scopes)]:
            into.degraded = into.degraded or found.degraded
            if not found.judged and any("dense" in hit.signals for _, hit in found.hits):
                into.unjudged.add(index)  # without cosines only words were searched, and `degraded` says so
            for rank, (key, hit) in enumerate(found.hits):
                signals = hit.signals if found.judged else {**hit.signals, "dense": 0.0}
                near = _proved(hit, relevance(question.text, text_of(hit), signals, rank, thresholds))
                if near is not None and _keep(into, key, hit):
                    finds.append(PackCandidate(key, hit.score or 0.0, covers=near == "covers"))
        into.asks.append(PackQuery(question.reason, finds, question.need))


def _proved(hit: MemoryHit | ToolHit, near: Relevance | None) -> Relevance | None:
    """Return the relevance of a hit after what it did for past tasks near the question."""
    did = hit.experience if isinstance(hit, ToolHit) else None
    if did is None:
        return near
    return "covers" if 2 * did.worked > did.tasks else near and "related"


def _keep(into: Proposals[Hit], key: str, hit: Hit) -> bool:
    """Keep the best hit on a row; return False when the key names another row already, a tool of another namespace."""
    before = into.hits.setdefault(key, hit)
    if _row(before) != _row(hit):
        return False
    if (hit.score or 0.0) > (before.score or 0.0):
        into.hits[key] = hit
    return True


def _row(hit: MemoryHit | ToolHit) -> object:
    return hit.memory.memory_id if isinstance(hit, MemoryHit) else hit.tool.id


def _memory_text(hit: MemoryHit) -> str:
    content = hit.memory.content
    return content if hit.span is None else content[slice(*hit.span)]
