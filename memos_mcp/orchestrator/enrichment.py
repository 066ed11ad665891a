"""What a task is enriched with before it is delegated, and what of its outcome is kept for the next one like it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import anyio

from memos_mcp.orchestrator.answers import Knowledge, MemoryDown
from memos_mcp.orchestrator.memory_service import MemoryService
from memos_mcp.orchestrator.payload import KnownMemory, KnownTool, TaskPayload, whole_characters
from memos_mcp.orchestrator.tool_caller import ToolFailure

OUTCOME_TAG: Final = "outcome"
SIMILAR_TASKS: Final = 3
WHY_SIMILAR: Final = "what came of a similar task"
RESULT_CHARS: Final = 8_000
TASK_CHARS: Final = 2_000

Answer = TypeVar("Answer")


async def enrich(
    memory: MemoryService, task: str, agent: str | None, needs: Sequence[str], capabilities: Sequence[str] | None
) -> TaskPayload:
    """Ask for everything at once; what could not be had is named in the payload."""
    text = whole_characters(_within(task, TASK_CHARS))
    asked: dict[str, Callable[[], Awaitable[Knowledge | MemoryDown]]] = {
        "outcomes": lambda: _similar(memory, text),
    }
    if agent is not None:
        asked["loadout"] = lambda: memory.loadout(text, agent, needs=needs)
        got = await _together(asked)
        if isinstance(got["loadout"], Knowledge) or isinstance(got["outcomes"], MemoryDown):
            return _payload(task, got)  # the pack, or a service that would not answer more questions either
        asked = {}
    else:
        got = {}
    asked |= {
        "memories": lambda: memory.query(text),
        "tools": lambda: memory.discover([text, *needs], capabilities=capabilities),
    }
    return _payload(task, got | await _together(asked))


def outcome_text(task: str, result: str, ended: str, used: Sequence[str], failures: Sequence[ToolFailure]) -> str:
    """Write an outcome as a memory: self-contained, the task first, so that a similar task finds it."""
    lines = [f"Task: {_within(task, TASK_CHARS)}"]
    lines.append(f"Result ({ended}): {_within(result, RESULT_CHARS) or 'none'}")
    if used:
        lines.append(f"Tools used: {', '.join(used)}")
    lines += [f"Failed: {failure.tool_id}: {failure.what[:200]}" for failure in failures[:8]]
    return whole_characters("\n".join(lines))


async def _similar(memory: MemoryService, task: str) -> Knowledge | MemoryDown:
    found = await memory.query(task, limit=SIMILAR_TASKS, tags=[OUTCOME_TAG])
    if isinstance(found, MemoryDown):
        return found
    return replace(found, memories=[replace(outcome, reason=WHY_SIMILAR) for outcome in found.memories])


async def _together(asked: Mapping[str, Callable[[], Awaitable[Answer]]]) -> dict[str, Answer]:
    got: dict[str, Answer] = {}

    async def ask(name: str) -> None:
        got[name] = await asked[name]()

    async with anyio.create_task_group() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    return {name: got[name] for name in asked}


def _payload(task: str, got: Mapping[str, Knowledge | MemoryDown]) -> TaskPayload:
    found = [got[name] for name in ("loadout", "outcomes", "memories", "tools") if name in got]
    there = [answer for answer in found if isinstance(answer, Knowledge)]
    memories: dict[str, KnownMemory] = {}
    tools: dict[str, KnownTool] = {}
    for answer in there:
        for memory in answer.memories:
            memories.setdefault(memory.memory_id, memory)
        for tool in answer.tools:
            tools.setdefault(tool.tool_id, tool)
    return TaskPayload(
        task=task,
        role=next((answer.role for answer in there if answer.role), ""),
        memories=list(memories.values()),
        tools=list(tools.values()),
        enrichment=_enrichment(got),
        uncovered=[need for answer in there for need in answer.uncovered],
    )


def _enrichment(got: Mapping[str, Knowledge | MemoryDown]) -> str:
    reasons: dict[str, list[str]] = {}
    for name, answer in got.items():
        if isinstance(answer, MemoryDown):
            reasons.setdefault(answer.reason, []).append(f"no {name}")
        elif answer.degraded:
            reasons.setdefault(answer.degraded.rstrip("."), []).append(name)
    if all(isinstance(answer, MemoryDown) for answer in got.values()):
        return f"none: {'; '.join(reasons)}"
    parts = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return f"partial: {'; '.join(parts)}" if parts else "full"


def _within(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[:chars]} …"
