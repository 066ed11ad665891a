"""The loop: enrich a task, let Cortex think, call the tools that it asks for until it answers; keep the outcome."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

from pydantic import SecretStr

from memos_mcp.orchestrator.cortex import Cortex
from memos_mcp.orchestrator.memory import Launch, MemoryService
from memos_mcp.orchestrator.payload import TaskPayload
from memos_mcp.orchestrator.tools import ToolCaller, ToolFailure

Happening: TypeAlias = Literal["enriched", "thought", "calling", "answered", "failed", "ended", "stored", "not stored"]
Ending: TypeAlias = Literal["answered", "out of steps", "out of time", "cortex down"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a delegation: thoughts, seconds of the loop, calls of one thought, characters of an answer shown."""

    steps: int = 12
    seconds: float = 300.0
    calls: int = 16
    answer_chars: int = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, in a line of text; `detail` holds it as JSON values."""

    happening: Happening
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task. `ended` tells whether `result` is an answer; `stored` is the memory that keeps it."""

    task_id: str
    payload: TaskPayload
    result: str
    ended: Ending
    steps: Sequence[Step]
    tools_used: Sequence[str]
    failures: Sequence[ToolFailure]
    stored: str | None

    @property
    def enrichment(self) -> str:
        """What the task was enriched with: `full`, `partial: ...` or `none: <reason>`."""
        return self.payload.enrichment


class Orchestrator:
    """Delegates tasks to Cortex, with what memOS.as knows about them. Delegations may run side by side."""

    def __init__(
        self,
        memory: MemoryService,
        cortex: Cortex,
        caller: ToolCaller,
        limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> None:
        raise NotImplementedError

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        cortex: Cortex,
        *,
        memory: Launch | str | None = None,
        token: SecretStr | str | None = None,
        hosts: Collection[str] = (),
        private_hosts: Collection[str] = (),
        limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> AsyncIterator[Self]:
        """Hold the memory service (`MemoryService`) and the tools at these hosts (`ToolCaller`); close all after."""
        raise NotImplementedError
        yield

    async def delegate(
        self,
        task: str,
        agent: str | None = None,
        *,
        needs: Sequence[str] = (),
        capabilities: Sequence[str] | None = None,
        task_id: str | None = None,
    ) -> Outcome:
        """Enrich a task, have it done, and store what came of it. Raises for nothing that a service does.

        `agent` names a loadout. Without one, or when the service has none of that name, memories and tools are asked
        for by the task and its `needs`. `task_id` is the session of the memory; a new one by default.
        """
        raise NotImplementedError

    async def enrich(
        self,
        task: str,
        agent: str | None = None,
        *,
        needs: Sequence[str] = (),
        capabilities: Sequence[str] | None = None,
    ) -> TaskPayload:
        """Ask for the agent's loadout, or memories and tools, and for the outcomes of similar tasks, side by side."""
        raise NotImplementedError
