import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from memos_mcp.orchestrator.cortex import CortexDown, Message, Thought, ToolCall
from memos_mcp.orchestrator.loop import Limits, Orchestrator, Step
from memos_mcp.orchestrator.payload import KnownTool
from tests.orchestrator.services import ECHO, Memory, Tools, free_port, serving, within

pytestmark = pytest.mark.anyio

TASK = "Say hello to Mara"
NOTE = {"memory_id": "1", "content": "Mara is short.", "kind": "semantic", "tags": []}
PAST = {"memory_id": "2", "content": "Task: Say hello to Ben", "kind": "episodic", "tags": ["outcome"]}


class Script:
    """A Cortex that answers with its lines in order, then with the last. A line may depend on the messages."""

    def __init__(self, *lines: Thought | Callable[[Sequence[Message]], Thought] | Exception) -> None:
        self.lines = lines
        self.received: list[list[Message]] = []
        self.tools: Sequence[KnownTool] = ()
        self.closed = False

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        self.received.append(list(messages))
        self.tools = tools
        line = self.lines[min(len(self.received), len(self.lines)) - 1]
        if isinstance(line, Exception):
            raise line
        return line(messages) if callable(line) else line

    async def close(self) -> None:
        self.closed = True


def call(tool_id: str, arguments: str = '{"word": "hello"}', call_id: str = "c") -> ToolCall:
    return ToolCall(call_id, tool_id, arguments)


def tool_results(cortex: Script) -> list[Any]:
    """Return the results of the calls in the last request to Cortex."""
    return [json.loads(message.text) for message in cortex.received[-1] if message.speaker == "tool"]


@pytest.fixture
def scripted(tool_host: str) -> Memory:
    def tool(behaviour: str) -> dict[str, Any]:
        return {
            "tool_id": f"test.{behaviour}",
            "name": behaviour,
            "description": f"Does {behaviour}.",
            "endpoint_url": f"http://{tool_host}/{behaviour}",
            "request_schema": ECHO,
            "response_schema": {"properties": {"reply": {"type": "string"}}},
        }

    found = [tool(behaviour) for behaviour in ("echo", "liar", "to-metadata", "large-text", "drip")]
    return Memory(
        {
            "query_memory": lambda asked: {"memories": [PAST] if "tags" in asked else [NOTE], "degraded": None},
            "discover_tools": {"tools": found, "degraded": None},
            "store_memory": {"memory_id": "m-1", "created": True},
        }
    )


@pytest.fixture
def url(scripted: Memory) -> Iterator[str]:
    with serving(scripted.app) as host:
        yield f"http://{host}/mcp"


@asynccontextmanager
async def orchestrating(cortex: Script, url: str, tool_host: str, **options: Any) -> AsyncIterator[Orchestrator]:
    async with Orchestrator.open(cortex, memory=url, private_hosts=[tool_host], **options) as orchestrator:
        yield orchestrator
    assert cortex.closed


async def test_a_task_is_enriched_done_with_tools_and_stored(url: str, tool_host: str, scripted: Memory) -> None:
    steps: list[Step] = []
    cortex = Script(Thought("", [call("test.echo")]), Thought("Greeted Mara."))
    async with orchestrating(cortex, url, tool_host, observe=steps.append) as orchestrator:
        outcome = await orchestrator.delegate(TASK, task_id="t-1")
    assert (outcome.result, outcome.ended, outcome.enrichment) == ("Greeted Mara.", "answered", "full")
    assert (outcome.tools_used, outcome.failures, outcome.stored) == (["test.echo"], [], "m-1")
    assert [memory.memory_id for memory in outcome.payload.memories] == ["2", "1"]
    assert outcome.payload.memories[0].reason == "what came of a similar task"
    assert "Mara is short." in cortex.received[0][1].text
    assert tool_results(cortex) == [{"answer": {"reply": "hello", "host": tool_host}}]
    assert outcome.steps == steps
    assert [step.happening for step in steps] == [
        "enriched", "thought", "calling", "answered", "thought", "ended", "stored",
    ]  # fmt: skip
    name, kept = scripted.asked[-1]
    assert (name, kept["session_id"], kept["tags"], kept["kind"]) == ("store_memory", "t-1", ["outcome"], "episodic")
    assert kept["content"] == f"Task: {TASK}\nResult (answered): Greeted Mara.\nTools used: test.echo"
    assert kept["metadata"]["tools"] == ["test.echo"]


async def test_a_task_is_done_and_marked_without_the_memory_service(tool_host: str) -> None:
    cortex = Script(Thought("Hello."))
    async with orchestrating(cortex, f"http://127.0.0.1:{free_port()}/mcp", tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.result, outcome.ended) == ("Hello.", "answered")
    assert outcome.enrichment == "none: it cannot be reached"
    assert outcome.payload.as_json()["enrichment"] == outcome.enrichment
    assert outcome.enrichment in cortex.received[0][1].text
    assert outcome.stored is None
    assert [step.happening for step in outcome.steps][-1] == "not stored"


async def test_a_task_is_done_and_marked_with_a_service_that_answers_something_else(
    url: str, tool_host: str, scripted: Memory
) -> None:
    scripted.answers |= {name: {"memories": [5], "tools": [5]} for name in scripted.answers}
    cortex = Script(Thought("Hello."))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.result, outcome.ended, outcome.stored) == ("Hello.", "answered", None)
    assert outcome.enrichment == (
        "none: it gave an answer that cannot be read (at memories/0); "
        "it gave an answer that cannot be read (at tools/0)"
    )
    assert outcome.steps[-1].text == "it gave an answer that cannot be read (at memory_id)"


async def test_an_agent_gets_its_loadout_and_the_outcomes_of_similar_tasks(
    url: str, tool_host: str, scripted: Memory
) -> None:
    scripted.answers["build_loadout"] = {"role": "You greet.", "memories": [NOTE], "tools": [], "uncovered": ["fax"]}
    cortex = Script(Thought("Hello."))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK, agent="greeter")
    assert cortex.received[0][0].text.startswith("You greet.\n")
    assert [memory.memory_id for memory in outcome.payload.memories] == ["1", "2"]
    assert outcome.payload.uncovered == ["fax"]
    assert outcome.enrichment == "full"
    assert {name for name, _ in scripted.asked} == {"build_loadout", "query_memory", "store_memory"}


async def test_an_agent_without_a_loadout_gets_memories_and_tools_and_is_marked_partial(
    url: str, tool_host: str
) -> None:
    async with orchestrating(Script(Thought("Hello.")), url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK, agent="nobody")
    assert outcome.enrichment == "partial: no loadout: it refused: There is no such tool."
    assert len(outcome.payload.tools) == 5


async def test_a_degraded_answer_makes_the_enrichment_partial(url: str, tool_host: str, scripted: Memory) -> None:
    scripted.answers["query_memory"] = {"memories": [NOTE], "degraded": "The index is away."}
    async with orchestrating(Script(Thought("Hello.")), url, tool_host) as orchestrator:
        payload = await orchestrator.enrich(TASK)
    assert payload.enrichment == "partial: outcomes, memories: The index is away"


async def test_failed_calls_are_reported_to_cortex_which_continues(url: str, tool_host: str, tools: Tools) -> None:
    before = tools.asked("echo")
    calls = [
        call("test.liar", call_id="1"),
        call("test.to-metadata", call_id="2"),
        call("no.such.tool", call_id="3"),
        call("test.echo", "{oops", call_id="4"),
        call("test.echo", call_id="5"),
    ]
    cortex = Script(Thought("", calls), Thought("Greeted Mara at last."))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    liar, redirect, unknown, garbled, echo = tool_results(cortex)
    assert liar["answer"] == {"reply": 5}
    assert "does not agree with its response_schema" in liar["note"]
    assert "another host" in redirect["failed"]
    assert "There is no such tool here. Tools: test.echo" in unknown["failed"]
    assert "not JSON" in garbled["failed"]
    assert echo["answer"]["reply"] == "hello"
    assert outcome.result == "Greeted Mara at last."
    assert len(outcome.failures) == 3
    assert tools.asked("echo") == before + 1
    assert [message.call_id for message in cortex.received[-1] if message.speaker == "tool"] == list("12345")


async def test_the_calls_of_a_thought_run_concurrently(url: str, tool_host: str) -> None:
    cortex = Script(Thought("", [call("test.drip")] * 5))
    async with orchestrating(cortex, url, tool_host, limits=Limits(seconds=0.5)) as orchestrator, within(5):
        outcome = await orchestrator.delegate(TASK)
    assert [step.happening for step in outcome.steps].count("calling") == 5
    assert outcome.ended == "out of time"
    assert outcome.stored == "m-1"


async def test_a_cortex_that_never_finishes_is_warned_and_stopped(url: str, tool_host: str) -> None:
    cortex = Script(Thought("Once more.", [call("test.echo")]))
    async with orchestrating(cortex, url, tool_host, limits=Limits(steps=3)) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.ended, outcome.result, len(cortex.received)) == ("out of steps", "Once more.", 3)
    assert "last step" in cortex.received[-1][-1].text
    assert outcome.stored == "m-1"


async def test_calls_beyond_the_limit_are_reported_as_failed(url: str, tool_host: str) -> None:
    cortex = Script(Thought("", [call("test.echo", call_id=str(n)) for n in range(4)]), Thought("Done."))
    async with orchestrating(cortex, url, tool_host, limits=Limits(calls=2)) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert ["answer" in answer for answer in tool_results(cortex)] == [True, True, False, False]
    assert len(outcome.failures) == 2


async def test_a_cortex_that_is_down_is_reported_and_nothing_is_stored(
    url: str, tool_host: str, scripted: Memory
) -> None:
    async with orchestrating(Script(CortexDown("the model is away")), url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.ended, outcome.result, outcome.stored) == ("cortex down", "the model is away", None)
    assert "store_memory" not in {name for name, _ in scripted.asked}


async def test_a_long_answer_is_cut_and_marked_for_cortex(url: str, tool_host: str) -> None:
    cortex = Script(Thought("", [call("test.echo", json.dumps({"word": "x" * 5_000}))]), Thought("Done."))
    async with orchestrating(cortex, url, tool_host, limits=Limits(answer_chars=1_000)) as orchestrator:
        await orchestrator.delegate(TASK)
    assert tool_results(cortex)[0]["characters_left_out"] > 4_000
    assert len(cortex.received[-1][-1].text) < 1_500


async def test_characters_of_a_result_that_cannot_be_stored_are_replaced(
    url: str, tool_host: str, scripted: Memory
) -> None:
    async with orchestrating(Script(Thought("half \ud83d and \x00")), url, tool_host) as orchestrator:
        assert (await orchestrator.delegate(TASK)).stored == "m-1"
    assert "half ? and \ufffd" in scripted.asked[-1][1]["content"]
    assert "\x00" not in scripted.asked[-1][1]["content"]


async def test_delegations_run_concurrently(url: str, tool_host: str) -> None:
    cortex = Script(
        lambda messages: Thought("Done.") if messages[-1].speaker == "tool" else Thought("", [call("test.echo")])
    )
    results: list[str] = []
    async with orchestrating(cortex, url, tool_host) as orchestrator, anyio.create_task_group() as tasks:

        async def delegate() -> None:
            results.append((await orchestrator.delegate(TASK)).result)

        for _ in range(8):
            tasks.start_soon(delegate)
    assert results == ["Done."] * 8


async def test_what_came_of_each_call_is_reported_with_its_time(url: str, tool_host: str, scripted: Memory) -> None:
    scripted.lists = ["report_outcome"]
    scripted.answers["report_outcome"] = {}
    calls = [
        call("test.echo", call_id="1"),
        call("test.to-metadata", call_id="2"),
        call("test.echo", "{oops", call_id="3"),
        call("no.such.tool", call_id="4"),
    ]
    async with orchestrating(Script(Thought("", calls), Thought("Done.")), url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    reports = {given["tool_id"]: given for name, given in scripted.asked if name == "report_outcome"}
    assert set(reports) == {"test.echo", "test.to-metadata"}
    assert (reports["test.echo"]["worked"], reports["test.echo"]["why"]) == (True, None)
    assert (reports["test.to-metadata"]["worked"], "another host" in reports["test.to-metadata"]["why"]) == (
        False,
        True,
    )
    assert {given["task"] for given in reports.values()} == {TASK}
    assert sorted(one.tool_id for one in outcome.calls) == ["test.echo", "test.to-metadata"]
    timed = [step.detail["milliseconds"] for step in outcome.steps if step.happening in {"answered", "failed"}]
    assert [reports[one.tool_id]["milliseconds"] for one in outcome.calls] == [
        one.milliseconds for one in outcome.calls
    ]
    assert all(one.milliseconds in timed for one in outcome.calls)


async def test_a_report_that_is_refused_changes_nothing(url: str, tool_host: str, scripted: Memory) -> None:
    scripted.lists = ["report_outcome"]
    async with orchestrating(
        Script(Thought("", [call("test.echo")]), Thought("Done.")), url, tool_host
    ) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.ended, outcome.stored) == ("answered", "m-1")


async def test_a_cortex_that_is_down_after_a_call_leaves_an_outcome(url: str, tool_host: str) -> None:
    cortex = Script(Thought("I call it.", [call("test.echo")]), CortexDown("the model is away"))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.ended, outcome.why, outcome.stored) == ("cortex down", "the model is away", "m-1")


async def test_the_words_of_an_endpoint_that_refuses_are_not_stored(url: str, tool_host: str, scripted: Memory) -> None:
    cortex = Script(Thought("", [call("test.echo")]), CortexDown("the model's endpoint failed: it was sent 'Mara'"))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert outcome.result == outcome.why == "the model's endpoint failed: it was sent 'Mara'"
    (content,) = [given["content"] for name, given in scripted.asked if name == "store_memory"]
    assert "Result (cortex down): none" in content


async def test_a_tool_that_cortex_leaves_out_is_offered_no_longer(url: str, tool_host: str) -> None:
    refused = {"test.liar": "its schema is odd"}
    cortex = Script(Thought("", [call("test.echo"), call("test.liar")], left_out=refused), Thought("Done."))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert "test.liar" not in [tool.tool_id for tool in cortex.tools]
    assert [step.text for step in outcome.steps if step.happening == "left out"] == ["test.liar: its schema is odd"]
    assert [failure.tool_id for failure in outcome.failures] == ["test.liar"]


async def test_an_unclear_call_is_asked_for_once_after_each_readable_thought(url: str, tool_host: str) -> None:
    unclear, good = Thought("<tool_call>", unclear="it cannot be read"), Thought("", [call("test.echo")])
    cortex = Script(unclear, good, unclear, Thought("Done."))
    async with orchestrating(cortex, url, tool_host) as orchestrator:
        outcome = await orchestrator.delegate(TASK)
    assert (outcome.ended, len(cortex.received)) == ("answered", 4)
