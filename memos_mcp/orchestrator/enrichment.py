"""Enriches a task before it is delegated, and writes its outcome as a memory for similar tasks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import anyio

from memos_mcp.orchestrator.answers import Knowledge, MemoryDown
from memos_mcp.orchestrator.memory_service import MemoryService
from memos_mcp.orchestrator.naming import function_names
from memos_mcp.orchestrator.offered_functions import offered_functions
from memos_mcp.orchestrator.payload import KnownMemory, KnownTool, TaskPayload, replace_surrogates
from memos_mcp.tool_calling.outcomes import ToolFailure

OUTCOME_TAG: Final = "outcome"
SIMILAR_TASKS: Final = 3
WHY_SIMILAR: Final = "what came of a similar task"
RESULT_CHARS: Final = 8_000
TASK_CHARS: Final = 2_000

Answer = TypeVar("Answer")


async def enrich(
    memory: MemoryService, task: str, agent: str | None, needs: Sequence[str], capabilities: Sequence[str] | None
) -> TaskPayload:
    """Request everything concurrently. The payload names whatever could not be obtained."""
    text = search_text(task)
    requests: dict[str, Callable[[], Awaitable[Knowledge | MemoryDown]]] = {"outcomes": lambda: _similar(memory, text)}
    if agent is not None:
        requests["loadout"] = lambda: memory.loadout(text, agent, needs=needs)
        results = await _gather(requests)
        if isinstance(results["loadout"], Knowledge) or isinstance(results["outcomes"], MemoryDown):
            return _payload(task, results)  # the pack, or a service that would not answer the next calls either
        requests = {}
    else:
        results = {}
    requests |= {
        "memories": lambda: memory.query(text),
        "tools": lambda: memory.discover([text, *needs], capabilities=capabilities),
    }
    return _payload(task, results | await _gather(requests))


def search_text(task: str) -> str:
    """Return the text of a task for searches and reports: without what cannot be sent, and not too long."""
    return replace_surrogates(_truncated(task, TASK_CHARS))


def outcome_text(task: str, result: str, ended: str, used: Sequence[str], failures: Sequence[ToolFailure]) -> str:
    """Return an outcome as the text of a memory: self-contained, task first, so that similar tasks find it."""
    lines = [f"Task: {_truncated(task, TASK_CHARS)}"]
    lines.append(f"Result ({ended}): {_truncated(result, RESULT_CHARS) or 'none'}")
    if used:
        lines.append(f"Tools used: {', '.join(used)}")
    lines += [f"Failed: {failure.tool_id}: {failure.reason}" for failure in failures[:8]]
    return replace_surrogates("\n".join(lines))


async def _similar(memory: MemoryService, task: str) -> Knowledge | MemoryDown:
    found = await memory.query(task, limit=SIMILAR_TASKS, tags=[OUTCOME_TAG])
    if isinstance(found, MemoryDown):
        return found
    return replace(found, memories=[replace(outcome, reason=WHY_SIMILAR) for outcome in found.memories])


async def _gather(requests: Mapping[str, Callable[[], Awaitable[Answer]]]) -> dict[str, Answer]:
    results: dict[str, Answer] = {}

    async def ask(name: str) -> None:
        results[name] = await requests[name]()

    async with anyio.create_task_group() as tasks:
        for name in requests:
            tasks.start_soon(ask, name)
    return {name: results[name] for name in requests}


def _payload(task: str, results: Mapping[str, Knowledge | MemoryDown]) -> TaskPayload:
    found = [results[name] for name in ("loadout", "outcomes", "memories", "tools") if name in results]
    answers = [answer for answer in found if isinstance(answer, Knowledge)]
    memories: dict[str, KnownMemory] = {}
    tools: dict[str, KnownTool] = {}
    for answer in answers:
        for memory in answer.memories:
            memories.setdefault(memory.memory_id, memory)
        for tool in answer.tools:
            tools.setdefault(tool.tool_id, tool)
    offered = offered_functions(list(tools.values()), function_names(tools))
    return TaskPayload(
        task=task,
        role=next((answer.role for answer in answers if answer.role), ""),
        memories=list(memories.values()),
        tools=[tool for tool in tools.values() if tool.tool_id not in offered.left_out],
        enrichment=_enrichment(results),
        uncovered=[need for answer in answers for need in answer.uncovered],
        left_out=offered.left_out,
    )


def _enrichment(results: Mapping[str, Knowledge | MemoryDown]) -> str:
    reasons: dict[str, list[str]] = {}
    for name, answer in results.items():
        if isinstance(answer, MemoryDown):
            reasons.setdefault(answer.reason, []).append(f"no {name}")
        elif answer.degraded:
            reasons.setdefault(answer.degraded.rstrip("."), []).append(name)
    if all(isinstance(answer, MemoryDown) for answer in results.values()):
        return f"none: {'; '.join(reasons)}"
    parts = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return f"partial: {'; '.join(parts)}" if parts else "full"


def _truncated(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[:chars]} …"
