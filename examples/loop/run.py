"""The loop at work, in real processes: Orchestrator → Cortex → memOS.as → Tools, and back into the memory.

    python examples/loop/run.py                                                   with a scripted Cortex
    python examples/loop/run.py --cortex-url http://127.0.0.1:11434/v1 --model qwen3   with a real one

It prints every step, checks what it saw, and exits with 0 only if all of it was as it should be.
"""

import argparse
import logging
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from textwrap import indent, shorten
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from mcp import Client, StdioServerParameters
from stage import EXAMPLES, LOOK_SECONDS, Stage, stage

from memos_mcp.orchestrator.loop import Orchestrator, Outcome, Step
from memos_mcp.orchestrator.memory_service import Launch
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from memos_mcp.orchestrator.payload import TaskPayload

FIRST: Final = "Find out when the town library is open on Saturdays and put it on my list."
SECOND: Final = "Find out when the swimming pool is open on Saturdays and put it on my list."
THIRD: Final = "Find out when the recycling centre is open on Saturdays and put it on my list."
NEEDS: Final = ("look something up on the internet", "put an item on the to-do list")
CAPABILITIES: Final = ("network", "todo.read", "todo.write")
ASKED: Final = {"look something up on the internet": "web.search", "remember what I still have to do": "todo.add"}
NOBODY: Final = Launch(sys.executable, ["-c", "raise SystemExit(1)"])
SHOWN_CHARS: Final = 300
READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Play:
    """What the acts share: the stage, where Cortex and the tools are, and what was seen."""

    stage: Stage
    cortex_url: str
    model: str
    tool_hosts: tuple[str, ...]
    seen: dict[str, bool] = field(default_factory=dict)

    def expect(self, what: str, seen: object) -> None:
        """Keep whether something was seen, and say so."""
        self.seen[what] = bool(seen)
        print(f"  {'seen' if seen else 'NOT SEEN'}: {what}")

    def orchestrator(self, memory: Launch) -> AbstractAsyncContextManager[Orchestrator]:
        """Open an orchestrator on a memory service."""
        cortex = OpenAICortex(self.model, base_url=self.cortex_url, api_key=os.environ.get("OPENAI_API_KEY"))
        return Orchestrator.open(cortex, memory=memory, private_hosts=self.tool_hosts, observe=show)


def main() -> int:
    """Play all acts; return 0 when everything was seen."""
    parser = argparse.ArgumentParser(description="Shows the loop of orchestrator, Cortex, memOS.as and tools.")
    parser.add_argument("--cortex-url", help="an endpoint that speaks the OpenAI protocol, instead of the scripted one")
    parser.add_argument("--model", default="scripted", help="the model's name there; OPENAI_API_KEY is its key, if any")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # what goes wrong on purpose is told by the steps
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stops all else, as Ctrl-C does
    with stage() as lent:
        title("The processes")
        search = lent.start("tools/web_search.py", "--folder", EXAMPLES / "loop/documents")
        todo = lent.start("tools/todo.py", "--file", lent.todo_file)
        cortex = arguments.cortex_url or lent.start("loop/scripted_cortex.py")
        lent.settings |= {"MEMOS_WEB_SEARCH_URL": search, "MEMOS_TODO_URL": todo}
        play = Play(lent, cortex, arguments.model, (urlsplit(search).netloc, urlsplit(todo).netloc))
        sow(play)
        anyio.run(with_memory, play)
        anyio.run(as_errands, play)
        anyio.run(without_memory, play)
        title("The end")
    play.expect("nothing is left running", not lent.left())
    missed = [what for what, seen in play.seen.items() if not seen]
    print(f"\n{len(play.seen) - len(missed)} of {len(play.seen)} things seen", *missed, sep="\n  not seen: ")
    return 1 if missed else 0


def sow(play: Play) -> None:
    """Register the initial tools, twice."""
    title("The seeds")
    first, again = play.stage.memos("seed"), play.stage.memos("seed")
    play.expect("the seeds create four tools", "4 created, 0 updated, 0 unchanged" in first.stdout)
    play.expect("sown again, they change nothing", "0 created, 0 updated, 4 unchanged" in again.stdout)


async def with_memory(play: Play) -> None:
    """Find the tools, do a task, look at what it left, and do a similar one."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "memos_mcp"], env=play.stage.settings)
    async with (
        Client(server) as onlooker,
        play.orchestrator(Launch(env=play.stage.settings)) as orchestrator,
    ):
        await _ready(onlooker)
        title("The right tool comes first")
        for need, tool_id in ASKED.items():
            found = await _asked(onlooker, "discover_tools", query=need, limit=1)
            play.expect(
                f"discover_tools({need!r}) puts {tool_id} first",
                [tool["tool_id"] for tool in found["tools"]] == [tool_id],
            )

        title("A task")
        first = await delegated(orchestrator, FIRST)
        what_it_left(play, first, "library", "9:00")
        kept = await _asked(onlooker, "query_memory", session_id=first.task_id)
        play.expect(
            "the outcome is a new episodic memory",
            [(one["memory_id"], one["kind"]) for one in kept["memories"]] == [(first.stored, "episodic")],
        )
        title("The payload without enrichment")
        print(indent(TaskPayload(FIRST).text, "  "))
        title("The payload with enrichment")
        print(indent(first.payload.text, "  "))
        play.expect("the enriched payload names both tools", {"web.search", "todo.add"} <= _tools(first.payload))

        title("A similar task")
        second = await delegated(orchestrator, SECOND)
        print(indent(second.payload.text, "  "))
        what_it_left(play, second, "swimming pool", "8:00")
        play.expect(
            "the second task was enriched with the outcome of the first",
            first.stored in {memory.memory_id for memory in second.payload.memories},
        )


def what_it_left(play: Play, outcome: Outcome, subject: str, found: str) -> None:
    """Check that a task was done: told, by both tools, and on the list."""
    items = play.stage.on_the_list()
    print(f"  in {play.stage.todo_file.name}: {items}")
    play.expect(f"Cortex answered about the {subject}, fully enriched", _done(outcome) and outcome.enrichment == "full")
    play.expect(f"it used both tools for the {subject}", {"web.search", "todo.add"} <= set(outcome.tools_used))
    play.expect(f"the {subject} is on the list", any(subject in item and found in item for item in items))


async def as_errands(play: Play) -> None:
    """Do a task as the agent of examples/loadouts, which says who it is and which tools it has at hand."""
    title("A task for an agent with a loadout")
    async with play.orchestrator(Launch(env=play.stage.settings)) as orchestrator:
        outcome = await delegated(orchestrator, THIRD, agent="errands")
    print(indent(f"{outcome.payload.instructions}\n\n{outcome.payload.text}", "  "))
    what_it_left(play, outcome, "recycling centre", "8:00 to 12:00")
    play.expect("the agent was told its role", outcome.payload.role.startswith("You run errands"))
    play.expect("its pack holds the pinned tools", {"web.search", "todo.add"} <= _tools(outcome.payload))


async def without_memory(play: Play) -> None:
    """Stop memOS.as, and delegate all the same."""
    title("A task while memOS.as is stopped")
    stopped = play.stage.memos("stop")
    play.expect("memOS.as has stopped", stopped.returncode == 0 and "has left" in stopped.stdout)
    before = play.stage.on_the_list()
    async with play.orchestrator(NOBODY) as orchestrator:
        outcome = await delegated(orchestrator, SECOND)
    print(indent(outcome.payload.text, "  "))
    play.expect("the task completes without memory", _done(outcome))
    play.expect("it is marked as not enriched", outcome.enrichment.startswith("none: ") and not outcome.payload.tools)
    play.expect("nothing is claimed to be stored", outcome.stored is None and play.stage.on_the_list() == before)


async def delegated(orchestrator: Orchestrator, task: str, agent: str | None = None) -> Outcome:
    """Delegate a task; its steps are printed as they happen."""
    print(f"task: {task}")
    outcome = await orchestrator.delegate(task, agent, needs=NEEDS, capabilities=CAPABILITIES)
    print(f"  answer: {outcome.result}\n  enrichment: {outcome.enrichment}")
    return outcome


def show(step: Step) -> None:
    """Print a step of a delegation."""
    print(f"  {step.happening:10} {shorten(step.text, SHOWN_CHARS)}")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text} ==", flush=True)


def _done(outcome: Outcome) -> bool:
    return outcome.ended == "answered" and bool(outcome.result)


def _tools(payload: TaskPayload) -> set[str]:
    return {tool.tool_id for tool in payload.tools}


async def _ready(client: Client) -> None:
    """Wait until the index answers: on a slow machine the model takes a while to load."""
    with anyio.fail_after(READY_SECONDS):
        while (await _asked(client, "discover_tools", query=SECOND, limit=1))["degraded"]:  # noqa: ASYNC110  # a server gives no event
            await anyio.sleep(LOOK_SECONDS)


async def _asked(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content or {}
    return answer


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
