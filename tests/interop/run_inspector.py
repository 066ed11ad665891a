"""Lists and calls the tools with the MCP Inspector's command line, over every transport and in both protocol eras.

Each call is a new process of the Inspector, and over stdio a new bridge to the engine that the first call started.
`tools/list` runs with `--strict`, which refuses schemas that some clients reject. The exit code is 1 if an
answer differs from session.json, or if a process keeps running.
"""
# ruff: noqa: T201 - prints a table

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from run_session import EXIT_SECONDS, SESSION, TRANSPORTS, address, wrong
from serving import CACHE, COMMAND, Failed, Home, fresh_home, run, tail

TOOLS = [
    "build_loadout",
    "discover_tools",
    "forget_memory",
    "query_memory",
    "register_tool",
    "report_outcome",
    "store_memory",
    "unregister_tool",
    "update_memory",
]
CALLS = ("store", "store unicode", "query by meaning", "unknown argument", "register", "discover in full")
ERAS = ("legacy", "modern")
CALL_SECONDS = 90.0
TOOL_FAILED = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", default=shlex.join(COMMAND), help="the server to test (default: this checkout's)")
    command = shlex.split(parser.parse_args().command)
    print(f"The Inspector: tools/list --strict and {len(CALLS)} calls, on a fresh home each time.\n")
    print(f"{'transport':11}{'era':9}{'seconds':>7}  answers")
    failed_runs = 0
    for transport, era in [(transport, era) for transport in TRANSPORTS for era in ERAS]:
        began = time.monotonic()
        try:
            with fresh_home() as home:
                with address(home, transport, command) as url:
                    problems = list(inspect(home, target(home, transport, command, url), era))
                problems += home.settle(EXIT_SECONDS)
        except Failed as failed:
            problems = [str(failed)]
        failed_runs += bool(problems)
        print(f"{transport:11}{era:9}{time.monotonic() - began:7.1f}  {'WRONG' if problems else 'as expected'}")
        for problem in problems:
            print(f"    {problem}")
    return 1 if failed_runs else 0


def target(home: Home, transport: str, command: Sequence[str], url: str | None) -> list[str]:
    """Return the arguments that name the server to the Inspector."""
    if url is not None:
        return ["--server-url", url, "--transport", transport]
    return [*(part for setting in home.env.items() for part in ("-e", "=".join(setting))), *command]


def inspect(home: Home, server: Sequence[str], era: str) -> Iterator[str]:
    """Let the Inspector list the tools and make the calls; yield the problems."""
    status, listing = ask(home, server, era, "--method", "tools/list", "--strict")
    names = sorted(tool["name"] for tool in listing.get("tools", []))
    if status != 0 or names != TOOLS:
        yield f"tools/list: exit code {status}, {names}"
    answers: dict[str, Any] = {}
    for step in (step for step in SESSION if step["name"] in CALLS):
        given = ("--tool-name", step["tool"], "--tool-args-json", json.dumps(step["arguments"]))
        status, result = ask(home, server, era, "--method", "tools/call", *given)
        answers[step["name"]] = {
            "isError": result.get("isError", False),
            "texts": [block["text"] for block in result.get("content", [])],
            "structured": result.get("structuredContent"),
        }
        if status != (TOOL_FAILED if "expect_error" in step else 0):
            yield f"{step['name']}: exit code {status}"
        for problem in wrong(step, answers[step["name"]], answers):
            yield f"{step['name']}: {problem}"


def ask(home: Home, server: Sequence[str], era: str, *what: str) -> tuple[int, Mapping[str, Any]]:
    """Run the Inspector once; return its exit code and the result that it printed."""
    inspector: Path = CACHE / "node_modules/.bin/mcp-inspector"
    options = ("--format", "json", "--protocol-era", era, "--connect-timeout", str(int(CALL_SECONDS * 1_000)))
    ran = run([inspector, "--cli", *server, *what, *options], seconds=CALL_SECONDS, env={"HOME": str(home.path)})
    try:
        return ran.returncode, json.loads(ran.stdout)["result"]
    except (ValueError, KeyError):
        raise Failed(f"exit code {ran.returncode} without a result: {tail(ran.stderr or ran.stdout)}") from None


if __name__ == "__main__":
    sys.exit(main())
