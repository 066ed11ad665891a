"""The loop: enrich a task, ask Cortex and call the tools that it requests until it answers, keep the outcome."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import uuid4

import anyio
from pydantic import SecretStr

from memos_mcp.client.reconnecting_client import Launch
from memos_mcp.orchestrator.answers import MemoryDown
from memos_mcp.orchestrator.call_outcomes import CallOutcome
from memos_mcp.orchestrator.cortex import Cortex
from memos_mcp.orchestrator.delegation import (
    Ending,
    Limits,
    Observer,
    Outcome,
    Step,
    StepKind,
    is_kept,
)
from memos_mcp.orchestrator.enrichment import OUTCOME_TAG, enrich, outcome_text, search_text
from memos_mcp.orchestrator.memory_service import MemoryService
from memos_mcp.orchestrator.payload import TaskPayload
from memos_mcp.orchestrator.task_run import TaskRun
from memos_mcp.tool_calling.caller import ServerCaller, ToolCaller
from memos_mcp.tool_calling.credentials import CredentialSource

__all__ = ["Ending", "Limits", "Observer", "Orchestrator", "Outcome", "Step", "StepKind"]

REPORT_SECONDS: Final = 5.0


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
        credentials: CredentialSource | None = None,
        servers: ServerCaller | None = None,
        limits: Limits | None = None,
        observe: Observer | None = None,
    ) -> AsyncIterator[Self]:
        """Open the memory service (`MemoryService`) and a `ToolCaller` for these hosts; close everything on exit."""
        caller = ToolCaller(hosts, private_hosts=private_hosts, credentials=credentials, servers=servers)
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
        run = TaskRun(self._cortex, self._caller, self._limits, self._observe, payload)
        run.record("enriched", f"{payload.enrichment}; {_listed(payload)}", payload.as_json())
        for tool_id, reason in payload.left_out.items():
            run.record("left out", f"{tool_id}: {reason}", {"tool_id": tool_id, "reason": reason})
        ended = await run.work()
        task_id = task_id or uuid4().hex
        stored = await self._keep(run, task_id, agent, ended)
        await self._report(search_text(task), run.calls)
        return Outcome(
            task_id=task_id,
            payload=payload,
            result=run.result,
            ended=ended,
            steps=run.steps,
            tools_used=list(run.used),
            failures=run.failures,
            stored=stored,
            why=run.why,
            calls=run.calls,
            tokens=run.tokens,
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

    async def _keep(self, run: TaskRun, task_id: str, agent: str | None, ended: Ending) -> str | None:
        """Store the outcome; return its memory_id, or None if there is nothing to store or the service is down."""
        if not is_kept(ended, used=bool(run.used)):
            run.record("not stored", f"a task that ended as {ended!r} leaves nothing to repeat")
            return None
        metadata = {
            "task_id": task_id,
            "agent": agent,
            "ended": ended,
            "tools": list(run.used),
            "failures": len(run.failures),
            "enrichment": run.payload.enrichment.partition(":")[0],
        }
        result = "" if run.result == run.why else run.result  # the endpoint's words may repeat the answer of a tool
        content = outcome_text(run.payload.task, result, ended, list(run.used), run.failures)
        stored = await self._memory.store(content, session_id=task_id, tags=[OUTCOME_TAG], metadata=metadata)
        if isinstance(stored, MemoryDown):
            run.record("not stored", stored.reason)
            return None
        run.record("stored", f"the outcome as memory {stored}", {"memory_id": stored, "content": content, **metadata})
        return stored

    async def _report(self, task: str, calls: Sequence[CallOutcome]) -> None:
        """Report what came of each call to the memory service. That it fails never matters."""
        with anyio.move_on_after(REPORT_SECONDS):
            async with anyio.create_task_group() as reports:
                for call in calls:
                    reports.start_soon(self._report_one, task, call)

    async def _report_one(self, task: str, call: CallOutcome) -> None:
        await self._memory.report_outcome(
            call.tool_id, task, worked=call.worked, why=call.why, milliseconds=call.milliseconds
        )


def _listed(payload: TaskPayload) -> str:
    tools = ", ".join(tool.tool_id for tool in payload.tools) or "none"
    return f"{len(payload.memories)} memories; tools: {tools}"
