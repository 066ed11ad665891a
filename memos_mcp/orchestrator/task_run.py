"""Runs one delegation: asks Cortex and calls the tools that it requests, until it answers or a limit is reached."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any, Final

import anyio

from memos_mcp.orchestrator.call_outcomes import CallOutcome, call_outcome
from memos_mcp.orchestrator.conversation import estimated_tokens, shortened
from memos_mcp.orchestrator.cortex import ContextTooLong, Cortex, CortexDown, Message, Thought, ToolCall
from memos_mcp.orchestrator.delegation import REASONS, STOPPED, Ending, Limits, Observer, Step, StepKind
from memos_mcp.orchestrator.payload import KnownTool, TaskPayload, as_data
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure

LAST_STEP: Final = "This is the last step: answer now, without a tool call."


class TaskRun:
    """One running delegation: what was answered, called and used so far."""

    def __init__(
        self, cortex: Cortex, caller: ToolCaller, limits: Limits, observe: Observer | None, payload: TaskPayload
    ) -> None:
        self._cortex = cortex
        self._caller = caller
        self._limits = limits
        self._observe = observe
        self._tools = {tool.tool_id: tool for tool in payload.tools}
        self._messages = [Message("system", payload.instructions), Message("user", payload.text)]
        self._asked_again = False
        self.payload = payload
        self.result = ""
        self.why = ""
        self.tokens = 0
        self.steps: list[Step] = []
        self.used: dict[str, None] = {}
        self.failures: list[ToolFailure] = []
        self.calls: list[CallOutcome] = []

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
        self.why = self.why or REASONS.get(ended, "")
        text = ": ".join(filter(None, [ended, self.why, self.result if self.result != self.why else ""]))
        self.record("ended", text, {"ended": ended, "why": self.why, "tokens": self.tokens})
        return ended

    async def _think_and_call(self) -> Ending:
        for number in range(1, self._limits.steps + 1):
            last = number == self._limits.steps
            if last and number > 1:
                self._messages.append(Message("user", LAST_STEP))
            thought = await self._think()
            if not isinstance(thought, Thought):
                return thought
            ended = self._ending(thought, last=last)
            if ended is not None:
                return ended
            if thought.unclear is not None:
                self._ask_again(thought, thought.unclear)
            else:
                self._asked_again = False
                await self._call_all(thought)
        return "out of steps"

    async def _think(self) -> Thought | Ending:
        """Return the next thought, with the answers of tools shortened as often as the model's context requires."""
        while True:
            tools = list(self._tools.values())
            if self.tokens + estimated_tokens(self._messages, tools) > self._limits.tokens:
                return "out of tokens"
            try:
                thought = await self._cortex.think(self._messages, tools)
            except CortexDown as down:
                if isinstance(down, ContextTooLong) and self._shorten():
                    continue
                self.why = f"{down}"
                self.result = self.result or self.why
                return "out of context" if isinstance(down, ContextTooLong) else "cortex down"
            self._count(thought, tools)
            return thought

    def _count(self, thought: Thought, tools: Sequence[KnownTool]) -> None:
        """Count the tokens of a thought, drop the tools that the endpoint cannot be given, and record both."""
        estimated = estimated_tokens(self._messages, tools, thought)
        self.tokens += estimated if thought.tokens is None else thought.tokens
        for tool_id, reason in thought.left_out.items():
            if self._tools.pop(tool_id, None) is not None:
                self.record("left out", f"{tool_id}: {reason}", {"tool_id": tool_id, "reason": reason})
        self.result = thought.text or (self.result if thought.tool_calls else "")
        self.record(
            "thought",
            thought.text or _calls(thought),
            {"tool_calls": [asdict(call) for call in thought.tool_calls], "tokens": self.tokens, "stop": thought.stop},
        )

    def _ending(self, thought: Thought, *, last: bool) -> Ending | None:
        """Return how the delegation ends with a thought, or None if it continues."""
        if thought.stop != "done":
            return STOPPED[thought.stop]
        if thought.unclear is not None:
            return "unreadable call" if self._asked_again or last else None
        if thought.tool_calls:
            used_up = self.tokens >= self._limits.tokens
            return "out of tokens" if used_up else "out of steps" if last else None
        return "answered" if thought.text.strip() else "empty"

    def _ask_again(self, thought: Thought, unclear: str) -> None:
        """Ask once for a call that was written as text and could not be read."""
        self._asked_again = True
        self.record("asked again", f"what looks like a call was not made: {unclear}", {"unclear": unclear})
        known = ", ".join(self._tools) or "none"
        question = (
            f"Your last message looks like a tool call that is written as text, and was not made: {unclear}. To call "
            f"a tool, make a tool call and write nothing else. Tools: {known}. If it was the result of the task, write "
            "it again in plain text, without JSON and tags."
        )
        self._messages += [Message("assistant", thought.text or "(a tool call)"), Message("user", question)]

    def _shorten(self) -> bool:
        """Shorten the answers of tools one degree further; return whether that was possible."""
        shorter = shortened(self._messages)
        if shorter is None:
            return False
        before, after = (sum(len(message.text) for message in one) for one in (self._messages, shorter))
        self._messages = shorter
        self.record("shortened", f"answers of tools, from {before:,} to {after:,} characters in all messages")
        return True

    async def _call_all(self, thought: Thought) -> None:
        """Make the calls of a thought concurrently, and add their results to the messages for Cortex."""
        self._messages.append(Message("assistant", thought.text, thought.tool_calls, thinking=thought.thinking))
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
        began = perf_counter()
        answer = self._unknown(call) if tool is None else await self._caller.call(tool.called, call.arguments)
        milliseconds = round(1_000 * (perf_counter() - began))
        if tool is not None and (outcome := call_outcome(answer, milliseconds)) is not None:
            self.calls.append(outcome)
        detail = {**asdict(answer), "milliseconds": milliseconds}
        if isinstance(answer, ToolFailure):
            self.failures.append(answer)
            self.record("failed", f"{answer.tool_id}: {answer.what}", detail)
        else:
            self.used[answer.tool_id] = None
            self.record("answered", f"{answer.tool_id}: {as_data(answer.value)[:500]}", detail)
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


def _calls(thought: Thought) -> str:
    return "calls " + (", ".join(call.tool_id for call in thought.tool_calls) or "nothing")
