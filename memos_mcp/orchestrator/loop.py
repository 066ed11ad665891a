"""The loop: enrich a task, ask Cortex and call the tools that it requests until it answers, keep the outcome."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias
from uuid import uuid4

import anyio
from pydantic import SecretStr

from memos_mcp.orchestrator.answers import MemoryDown
from memos_mcp.orchestrator.cortex import Cortex, CortexDown, Message, Thought, ToolCall
from memos_mcp.orchestrator.enrichment import OUTCOME_TAG, enrich, outcome_text
from memos_mcp.orchestrator.memory_service import Launch, MemoryService
from memos_mcp.orchestrator.payload import TaskPayload, as_data
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure

StepKind: TypeAlias = Literal["enriched", "thought", "calling", "answered", "failed", "ended", "stored", "not stored"]
Ending: TypeAlias = Literal["answered", "out of steps", "out of time", "cortex down"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a delegation: thoughts, seconds of the loop, calls per thought, characters per tool answer."""

    steps: int = 12
    seconds: float = 300.0
    calls: int = 16
    answer_chars: int = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, as a line of text; `detail` holds it as JSON values."""

    happening: StepKind
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a task. `ended` says whether `result` is an answer; `stored` is the memory_id of its memory."""

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
        """How complete the enrichment was: `full`, `partial: ...` or `none: <reason>`."""
        return self.payload.enrichment


class Orchestrator:
    """Delegates tasks to Cortex, enriched by memOS.as. Delegations may run concurrently."""

    def __init__(
        self,
        memory: MemoryService,
        cortex: Cortex,
        caller: ToolCaller,
        limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._memory = memory
        self._cortex = cortex
        self._caller = caller
        self._limits = limits or Limits()
        self._observe = observe

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
        """Open the memory service (`MemoryService`) and a `ToolCaller` for these hosts; close everything on exit."""
        caller = ToolCaller(hosts, private_hosts=private_hosts)
        try:
            async with MemoryService(memory, token=token) as service:
                yield cls(service, cortex, caller, limits, observe)
        finally:
            with anyio.CancelScope(shield=True):
                await cortex.close()

    async def delegate(
        self,
        task: str,
        agent: str | None = None,
        *,
        needs: Sequence[str] = (),
        capabilities: Sequence[str] | None = None,
        task_id: str | None = None,
    ) -> Outcome:
        """Enrich a task, run it, and store its outcome. Failures of services never raise.

        `agent` names a loadout. Without one, or if the service has none of that name, memories and tools are searched
        by the task and its `needs`. `task_id` is the session of the memory; a new one by default.
        """
        payload = await self.enrich(task, agent, needs=needs, capabilities=capabilities)
        run = _Run(self._cortex, self._caller, self._limits, self._observe, payload)
        run.record("enriched", f"{payload.enrichment}; {_listed(payload)}", payload.as_json())
        ended = await run.work()
        task_id = task_id or uuid4().hex
        stored = await self._keep(run, task_id, agent, ended)
        return Outcome(
            task_id=task_id,
            payload=payload,
            result=run.result,
            ended=ended,
            steps=run.steps,
            tools_used=list(run.used),
            failures=run.failures,
            stored=stored,
        )

    async def enrich(
        self,
        task: str,
        agent: str | None = None,
        *,
        needs: Sequence[str] = (),
        capabilities: Sequence[str] | None = None,
    ) -> TaskPayload:
        """Request the agent's loadout, or memories and tools, and the outcomes of similar tasks, concurrently."""
        return await enrich(self._memory, task, agent, needs, capabilities)

    async def _keep(self, run: "_Run", task_id: str, agent: str | None, ended: Ending) -> str | None:
        """Store the outcome; return its memory_id, or None if there is nothing to store or the service is down."""
        if ended == "cortex down" and not run.used:
            return None
        metadata = {
            "task_id": task_id,
            "agent": agent,
            "ended": ended,
            "tools": list(run.used),
            "failures": len(run.failures),
            "enrichment": run.payload.enrichment.partition(":")[0],
        }
        content = outcome_text(run.payload.task, run.result, ended, list(run.used), run.failures)
        stored = await self._memory.store(content, session_id=task_id, tags=[OUTCOME_TAG], metadata=metadata)
        if isinstance(stored, MemoryDown):
            run.record("not stored", stored.reason)
            return None
        run.record("stored", f"the outcome as memory {stored}", {"memory_id": stored, "content": content, **metadata})
        return stored


class _Run:
    """One running delegation."""

    def __init__(
        self, cortex: Cortex, caller: ToolCaller, limits: Limits, observe: Observer | None, payload: TaskPayload
    ) -> None:
        self._cortex = cortex
        self._caller = caller
        self._limits = limits
        self._observe = observe
        self._tools = {tool.tool_id: tool for tool in payload.tools}
        self._messages = [Message("system", payload.instructions), Message("user", payload.text)]
        self.payload = payload
        self.result = ""
        self.steps: list[Step] = []
        self.used: dict[str, None] = {}
        self.failures: list[ToolFailure] = []

    def record(self, happening: StepKind, text: str, detail: Mapping[str, Any] | None = None) -> None:
        """Add a step, and pass it to the observer."""
        step = Step(happening, text, detail or {})
        self.steps.append(step)
        if self._observe is not None:
            self._observe(step)

    async def work(self) -> Ending:
        """Think and call tools until Cortex answers or a limit is reached."""
        ended: Ending = "out of time"
        with anyio.move_on_after(self._limits.seconds):
            ended = await self._think_and_call()
        self.record("ended", f"{ended}: {self.result}" if self.result else ended)
        return ended

    async def _think_and_call(self) -> Ending:
        for number in range(1, self._limits.steps + 1):
            if number == self._limits.steps > 1:
                self._messages.append(Message("user", "This is the last step: answer now, without a tool call."))
            try:
                thought = await self._cortex.think(self._messages, list(self._tools.values()))
            except CortexDown as down:
                self.result = self.result or f"{down}"
                return "cortex down"
            self.result = thought.text or self.result
            self.record(
                "thought", thought.text or _calls(thought), {"tool_calls": [asdict(c) for c in thought.tool_calls]}
            )
            if not thought.tool_calls:
                return "answered"
            if number < self._limits.steps:
                await self._call_all(thought)
        return "out of steps"

    async def _call_all(self, thought: Thought) -> None:
        """Make the calls of a thought concurrently, and add their results to the messages for Cortex."""
        self._messages.append(Message("assistant", thought.text, thought.tool_calls))
        limit = self._limits.calls
        answers: dict[int, ToolAnswer | ToolFailure] = {
            index: ToolFailure(call.tool_id, f"At most {limit} calls are made at once.", retryable=True)
            for index, call in enumerate(thought.tool_calls[limit:], limit)
        }
        self.failures += [answer for answer in answers.values() if isinstance(answer, ToolFailure)]

        async def make(index: int, call: ToolCall) -> None:
            answers[index] = await self._call(call)

        async with anyio.create_task_group() as calls:
            for index, call in enumerate(thought.tool_calls[:limit]):
                calls.start_soon(make, index, call)
        for index, call in enumerate(thought.tool_calls):
            self._messages.append(Message("tool", self._result_text(answers[index]), call_id=call.call_id))

    async def _call(self, call: ToolCall) -> ToolAnswer | ToolFailure:
        tool = self._tools.get(call.tool_id)
        self.record("calling", f"{call.tool_id} {call.arguments}", asdict(call))
        answer = self._unknown(call) if tool is None else await self._caller.call(tool.called, call.arguments)
        if isinstance(answer, ToolFailure):
            self.failures.append(answer)
            self.record("failed", f"{answer.tool_id}: {answer.what}", asdict(answer))
        else:
            self.used[answer.tool_id] = None
            self.record("answered", f"{answer.tool_id}: {as_data(answer.value)[:500]}", asdict(answer))
        return answer

    def _unknown(self, call: ToolCall) -> ToolFailure:
        known = ", ".join(self._tools) or "none"
        return ToolFailure(call.tool_id[:80], f"There is no such tool here. Tools: {known}.")

    def _result_text(self, answer: ToolAnswer | ToolFailure) -> str:
        """Return the result of a call as data for Cortex, cut if it is longer than a model should read."""
        if isinstance(answer, ToolFailure):
            return as_data({"failed": answer.what, "retryable": answer.retryable})
        note = {} if answer.note is None else {"note": answer.note}
        text, limit = as_data({"answer": answer.value, **note}), self._limits.answer_chars
        if len(text) <= limit:
            return text
        return as_data({"answer_begins": text[:limit], "characters_left_out": len(text) - limit, **note})


def _listed(payload: TaskPayload) -> str:
    tools = ", ".join(tool.tool_id for tool in payload.tools) or "none"
    return f"{len(payload.memories)} memories; tools: {tools}"


def _calls(thought: Thought) -> str:
    return "calls " + ", ".join(call.tool_id for call in thought.tool_calls)
