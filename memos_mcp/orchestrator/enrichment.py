"""What a task is enriched with before it is delegated, and what of its outcome is kept for the next one like it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import anyio

from memos_mcp.orchestrator.memory import Found, MemoryDown, MemoryService
from memos_mcp.orchestrator.payload import KnownMemory, KnownTool, TaskPayload, whole_characters
from memos_mcp.orchestrator.tools import ToolFailure

OUTCOME_TAG: Final = "outcome"
SIMILAR_TASKS: Final = 3
RESULT_CHARS: Final = 8_000
TASK_CHARS: Final = 2_000

Answer = TypeVar("Answer")


async def enrich(
    memory: MemoryService, task: str, agent: str | None, needs: Sequence[str], capabilities: Sequence[str] | None
) -> TaskPayload:
    """Ask for everything at once; what could not be had is named in the payload."""
    text = whole_characters(_within(task, TASK_CHARS))
    asked: dict[str, Callable[[], Awaitable[Found | MemoryDown]]] = {
        "outcomes": lambda: memory.query(text, limit=SIMILAR_TASKS, tags=[OUTCOME_TAG]),
    }
    if agent is not None:
        asked["loadout"] = lambda: memory.loadout(text, agent, needs=needs)
        got = await _together(asked)
        if isinstance(got["loadout"], Found) or isinstance(got["outcomes"], MemoryDown):
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


async def _together(asked: Mapping[str, Callable[[], Awaitable[Answer]]]) -> dict[str, Answer]:
    got: dict[str, Answer] = {}

    async def ask(name: str) -> None:
        got[name] = await asked[name]()

    async with anyio.create_task_group() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    return got


def _payload(task: str, got: Mapping[str, Found | MemoryDown]) -> TaskPayload:
    found = [got[name] for name in ("loadout", "memories", "tools", "outcomes") if name in got]
    there = [answer for answer in found if isinstance(answer, Found)]
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


def _enrichment(got: Mapping[str, Found | MemoryDown]) -> str:
    missing = [f"no {name}: {answer.reason}" for name, answer in got.items() if isinstance(answer, MemoryDown)]
    if len(missing) == len(got):
        return f"none: {'; '.join(dict.fromkeys(a.reason for a in got.values() if isinstance(a, MemoryDown)))}"
    weak = [f"{name}: {a.degraded}" for name, a in got.items() if isinstance(a, Found) and a.degraded]
    return f"partial: {'; '.join(missing + weak)}" if missing or weak else "full"


def _within(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[:chars]} …"
