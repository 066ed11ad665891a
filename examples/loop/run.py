"""The loop at work, in real processes: Orchestrator → Cortex → memOS.as → Tools, and back into the memory.

    python examples/loop/run.py                                                   with a scripted Cortex
    python examples/loop/run.py --cortex-url http://127.0.0.1:11434/v1 --model qwen3   with a real one

It prints and checks every step, and exits with 0 only if all checks passed.
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
from stage import EXAMPLES, POLL_SECONDS, Stage, stage

from memos_mcp.client import Launch
from memos_mcp.orchestrator.loop import Orchestrator, Outcome, Step
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from memos_mcp.orchestrator.payload import TaskPayload

FIRST: Final = "Find out when the town library is open on Saturdays and put it on my list."
SECOND: Final = "Find out when the swimming pool is open on Saturdays and put it on my list."
THIRD: Final = "Find out when the recycling centre is open on Saturdays and put it on my list."
NEEDS: Final = ("search for something on the internet", "put an item on the to-do list")
CAPABILITIES: Final = ("network", "todo.read", "todo.write")
ASKED: Final = {"search for something on the internet": "web.search", "remember what I still have to do": "todo.add"}
NOBODY: Final = Launch(sys.executable, ["-c", "raise SystemExit(1)"])
SHOWN_CHARS: Final = 300
READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Play:
    """What the parts of the demo share: the stage, the addresses of Cortex and the tools, and the results of checks."""

    stage: Stage
    cortex_url: str
    model: str
    tool_hosts: tuple[str, ...]
    seen: dict[str, bool] = field(default_factory=dict)

    def expect(self, what: str, seen: object) -> None:
        """Record and print whether something was seen."""
        self.seen[what] = bool(seen)
        print(f"  {'seen' if seen else 'NOT SEEN'}: {what}")

    def orchestrator(self, memory: Launch) -> AbstractAsyncContextManager[Orchestrator]:
        """Open an orchestrator on a memory service."""
        cortex = OpenAICortex(self.model, base_url=self.cortex_url, api_key=os.environ.get("OPENAI_API_KEY"))
        return Orchestrator.open(cortex, memory=memory, private_hosts=self.tool_hosts, observe=show)


def main() -> int:
    """Run all parts of the demo; return 0 when everything was seen."""
    parser = argparse.ArgumentParser(description="Shows the loop of orchestrator, Cortex, memOS.as and tools.")
    parser.add_argument("--cortex-url", help="an endpoint that speaks the OpenAI protocol, instead of the scripted one")
    parser.add_argument("--model", default="scripted", help="the model's name there; OPENAI_API_KEY is its key, if any")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # the steps print the errors that are caused on purpose
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stops all processes, as Ctrl-C does
    with stage() as current:
        title("The processes")
        search = current.start("tools/web_search.py", "--folder", EXAMPLES / "loop/documents")
        todo = current.start("tools/todo.py", "--file", current.todo_file)
        cortex = arguments.cortex_url or current.start("loop/scripted_cortex.py")
        current.settings |= {"MEMOS_WEB_SEARCH_URL": search, "MEMOS_TODO_URL": todo}
        play = Play(current, cortex, arguments.model, (urlsplit(search).netloc, urlsplit(todo).netloc))
        seed(play)
        anyio.run(with_memory, play)
        anyio.run(as_errands, play)
        anyio.run(without_memory, play)
        title("The end")
    play.expect("no process is running", not current.remaining())
    missed = [what for what, seen in play.seen.items() if not seen]
    print(f"\n{len(play.seen) - len(missed)} of {len(play.seen)} things seen", *missed, sep="\n  not seen: ")
    return 1 if missed else 0


def seed(play: Play) -> None:
    """Register the initial tools, twice."""
    title("The seeds")
    first, again = play.stage.memos("seed"), play.stage.memos("seed")
    play.expect("the seeds create four tools", "4 created, 0 updated, 0 unchanged" in first.stdout)
    play.expect("seeding again changes nothing", "0 created, 0 updated, 4 unchanged" in again.stdout)


async def with_memory(play: Play) -> None:
    """Find the tools, do a task, check its results, and do a similar task."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "memos_mcp"], env=play.stage.settings)
    async with (
        Client(server) as observer,
        play.orchestrator(Launch(env=play.stage.settings)) as orchestrator,
    ):
        await _ready(observer)
        title("The right tool comes first")
        for need, tool_id in ASKED.items():
            found = await _call(observer, "discover_tools", query=need, limit=1)
            play.expect(
                f"discover_tools({need!r}) puts {tool_id} first",
                [tool["tool_id"] for tool in found["tools"]] == [tool_id],
            )

        title("A task")
        first = await delegated(orchestrator, FIRST)
        check_outcome(play, first, "library", "9:00")
        kept = await _call(observer, "query_memory", session_id=first.task_id)
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
        check_outcome(play, second, "swimming pool", "8:00")
        play.expect(
            "the second task was enriched with the outcome of the first",
            first.stored in {memory.memory_id for memory in second.payload.memories},
        )


def check_outcome(play: Play, outcome: Outcome, subject: str, found: str) -> None:
    """Check that a task was answered with both tools and that its result is on the list."""
    items = play.stage.listed_items()
    print(f"  in {play.stage.todo_file.name}: {items}")
    play.expect(f"Cortex answered about the {subject}, fully enriched", _done(outcome) and outcome.enrichment == "full")
    play.expect(f"it used both tools for the {subject}", {"web.search", "todo.add"} <= set(outcome.tools_used))
    play.expect(f"the {subject} is on the list", any(subject in item and found in item for item in items))


async def as_errands(play: Play) -> None:
    """Do a task as the agent of examples/loadouts, which defines its role and its tools."""
    title("A task for an agent with a loadout")
    async with play.orchestrator(Launch(env=play.stage.settings)) as orchestrator:
        outcome = await delegated(orchestrator, THIRD, agent="errands")
    print(indent(f"{outcome.payload.instructions}\n\n{outcome.payload.text}", "  "))
    check_outcome(play, outcome, "recycling centre", "8:00 to 12:00")
    play.expect("the agent received its role", outcome.payload.role.startswith("You run errands"))
    play.expect("its pack holds the pinned tools", {"web.search", "todo.add"} <= _tools(outcome.payload))


async def without_memory(play: Play) -> None:
    """Stop memOS.as, and delegate a task without it."""
    title("A task while memOS.as is stopped")
    stopped = play.stage.memos("stop")
    play.expect("memOS.as has stopped", stopped.returncode == 0 and "has stopped" in stopped.stdout)
    before = play.stage.listed_items()
    async with play.orchestrator(NOBODY) as orchestrator:
        outcome = await delegated(orchestrator, SECOND)
    print(indent(outcome.payload.text, "  "))
    play.expect("the task completes without memory", _done(outcome))
    play.expect("it is marked as not enriched", outcome.enrichment.startswith("none: ") and not outcome.payload.tools)
    play.expect("nothing is claimed to be stored", outcome.stored is None and play.stage.listed_items() == before)


async def delegated(orchestrator: Orchestrator, task: str, agent: str | None = None) -> Outcome:
    """Delegate a task and print its steps."""
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
        while (await _call(client, "discover_tools", query=SECOND, limit=1))["degraded"]:  # noqa: ASYNC110  # the server has no event for this
            await anyio.sleep(POLL_SECONDS)


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content or {}
    return answer


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
