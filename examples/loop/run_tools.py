"""Tools that one can use: an OpenAPI document and an MCP server are added by command, then found and called.

    python examples/loop/run_tools.py

A library with ten operations and a key, and an MCP server with two tools, run as real processes. An MCP client that was
never configured with them finds each tool by what it does and calls it through memOS.as; then the orchestrator does a
task that needs a GET with a path parameter, a PUT and a DELETE. The library's own log shows what arrived. Every step is
printed and checked; the exit code is 0 only if all checks passed.
"""

import logging
import re
import signal
import sys
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
from mcp import Client, StdioServerParameters
from stage import EXAMPLES, POLL_SECONDS, Stage, stage

from memos_mcp.client import Launch
from memos_mcp.orchestrator.loop import Orchestrator, Step
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from memos_mcp.tool_calling.credential_file import CredentialFile

KEY: Final = "not-a-real-key-7d21"
TASK: Final = "Set the year of book 2 to 1957 and remove book 3."
READY_SECONDS: Final = 60.0
SHOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Use:
    """A tool to find by a need and to call: what arrives at the library, and what the answer holds."""

    need: str
    tool_id: str
    arguments: dict[str, Any]
    arrives: str | None
    answered: str


USES: Final = (
    Use(
        "list the books of an author",
        "library.listBooks",
        {"author": "I. Maren", "limit": 5},
        "GET /books?author=I.",
        "Salt and Wind",
    ),
    Use("look up one book by its number", "library.getBook", {"book_id": 2}, "GET /books/2 (", "1956"),
    Use("check whether the library has a book", "library.checkBook", {"book_id": 3}, "HEAD /books/3 (", "200"),
    Use(
        "add a new book to the library",
        "library.addBook",
        {"title": "Tides", "author": "Ö. Lind", "year": 2001},
        "POST /books application/json",
        "Ö. Lind",
    ),
    Use(
        "replace all fields of a book",
        "library.replaceBook",
        {"book_id": 4, "title": "Tides", "author": "Ö. Lind", "year": 2002},
        "PUT /books/4 application/json",
        "2002",
    ),
    Use(
        "change some fields of a book",
        "library.changeBook",
        {"book_id": 4, "year": 2003},
        "PATCH /books/4 application/json",
        "2003",
    ),
    Use(
        "write a review with stars",
        "library.reviewBook",
        {"book_id": 2, "stars": 5, "text": "Salty & windy"},
        "POST /books/2/reviews application/x-www-form-urlencoded",
        "reviews",
    ),
    Use(
        "set the cover picture of a book",
        "library.setCover",
        {"book_id": 2, "caption": "A wave"},
        "PUT /books/2/cover multipart/form-data",
        "204",
    ),
    Use(
        "opening hours of a branch",
        "library.showBranch",
        {"X-Branch": "Harbour"},
        "GET /branch x-branch: Harbour",
        "9:00",
    ),
    Use("remove a book from the library for good", "library.removeBook", {"book_id": 4}, "DELETE /books/4 (", "204"),
    Use("count the words of a text", "words.count_words", {"text": "one two three"}, None, "3"),
    Use("most frequent word of a text", "words.most_frequent_word", {"text": "to be or not to be"}, None, "to"),
)
"""Each tool with a question that finds it."""


@dataclass(frozen=True, slots=True)
class Play:
    """What the parts share, and the results of the checks."""

    stage: Stage
    library: str
    seen: dict[str, bool] = field(default_factory=dict)

    def expect(self, what: str, seen: object) -> None:
        """Record and print whether something was seen."""
        self.seen[what] = bool(seen)
        print(f"  {'seen' if seen else 'NOT SEEN'}: {what}")

    def arrived(self) -> list[str]:
        """Return what the library has logged."""
        return [line.removeprefix("library: ") for line in self.stage.log.read_text("utf-8").splitlines()]


def main() -> int:
    """Run all parts; return 0 when everything was seen."""
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # stops all processes, as Ctrl-C does
    with stage() as current:
        title("The processes")
        library = current.start("tools/library.py", env={"LIBRARY_KEY": KEY})
        cortex = current.start("loop/scripted_cortex.py")
        current.settings["MEMOS_TOOL_PRIVATE_HOSTS"] = urlsplit(library).netloc
        play = Play(current, library)
        add(play)
        anyio.run(find_and_call, play)
        anyio.run(delegate, play, cortex)
        title("The log of the library")
        print(*(f"  {line}" for line in play.arrived()), sep="\n")
        play.expect("every request had the right key", all("(right key)" in line for line in play.arrived()))
        title("The end")
    play.expect("no process is running", not current.remaining())
    missed = [what for what, seen in play.seen.items() if not seen]
    print(f"\n{len(play.seen) - len(missed)} of {len(play.seen)} things seen", *missed, sep="\n  not seen: ")
    return 1 if missed else 0


def add(play: Play) -> None:
    """Set the key, and add the tools of both services, twice."""
    title("The credential and the tools")
    host = urlsplit(play.library).netloc
    setting = ("credential", "set", "library", "--host", host, "--header", "X-Library-Key")
    play.expect("the credential is set", play.stage.memos(*setting, given=KEY).returncode == 0)
    adding = ("tools", "add-openapi", f"{play.library}/openapi.json", "--name", "library", "--auth", "library")
    first, again = play.stage.memos(*adding), play.stage.memos(*adding)
    play.expect("ten operations are added", "10 added" in first.stdout)
    play.expect("adding them again changes nothing", "10 unchanged" in again.stdout)
    server = ("tools", "add-mcp", "words", "--", sys.executable, str(EXAMPLES / "tools/words.py"))
    added = play.stage.memos(*server)
    play.expect(
        "the two tools of the MCP server are added",
        all(use.tool_id in added.stdout for use in USES if use.arrives is None),
    )
    listed = play.stage.memos("tools", "list")
    play.expect("the key is shown nowhere", KEY not in first.stdout + again.stdout + added.stdout + listed.stdout)


async def find_and_call(play: Play) -> None:
    """Find each tool by what it does, and call it."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "memos_mcp"], env=play.stage.settings)
    async with Client(server) as client:
        with anyio.fail_after(READY_SECONDS):
            while (await _call(client, "discover_tools", query="books", limit=1))["degraded"]:  # noqa: ASYNC110 - the server has no event for this
                await anyio.sleep(POLL_SECONDS)
        title("An MCP client finds each tool and calls it")
        for use in USES:
            await _find_and_call_one(play, client, use)
        title("A call that the tool refuses")
        refused = await client.call_tool("call_tool", {"tool_id": "library.getBook", "arguments": {"book_id": 99}})
        text = " ".join(getattr(part, "text", "") for part in refused.content)
        print(f"  {text[:SHOWN_CHARS]}")
        play.expect("the refusal is an error with the tool's own words", refused.is_error and "no book 99" in text)


async def _find_and_call_one(play: Play, client: Client, use: Use) -> None:
    found = await _call(client, "discover_tools", query=use.need, limit=3)
    before = len(play.arrived())
    answer = await _call(client, "call_tool", tool_id=use.tool_id, arguments=use.arguments, task=use.need)
    print(f"  {use.need} -> {use.tool_id}: {str(answer)[:SHOWN_CHARS]}")
    play.expect(f"{use.tool_id} is found", use.tool_id in [tool["tool_id"] for tool in found["tools"]])
    arrived = [line.replace("%20", " ").replace("+", " ") for line in play.arrived()[before:]]
    came = use.arrives is None or [line for line in arrived if line.startswith(use.arrives)]
    play.expect(f"{use.tool_id} was called as its document says", came and re.search(use.answered, str(answer)))


async def delegate(play: Play, cortex: str) -> None:
    """Have the orchestrator do a task with three tools."""
    title("The orchestrator does a task")
    print(f"task: {TASK}")
    before = len(play.arrived())
    async with Orchestrator.open(
        OpenAICortex("scripted", base_url=cortex),
        memory=Launch(env=play.stage.settings),
        private_hosts=[urlsplit(play.library).netloc],
        credentials=CredentialFile(play.stage.home / "credentials.json", lambda _: None),
        observe=show,
    ) as orchestrator:
        needs = ("look up one book", "replace all fields of a book", "remove a book")
        outcome = await orchestrator.delegate(TASK, needs=needs)
    print(f"  answer: {outcome.result}")
    methods = [line.partition(" (")[0].split(" ", 2)[:2] for line in play.arrived()[before:]]
    play.expect("the task was answered", outcome.ended == "answered" and "1957" in outcome.result)
    play.expect(
        "a GET, a PUT and a DELETE arrived",
        methods == [["GET", "/books/2"], ["PUT", "/books/2"], ["DELETE", "/books/3"]],
    )


def show(step: Step) -> None:
    """Print a step of the delegation."""
    print(f"  {step.happening:10} {step.text[:SHOWN_CHARS]}")


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text} ==", flush=True)


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content or {}
    return answer


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
