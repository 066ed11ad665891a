"""Plays one session of calls through every client and transport, and checks that all answers are the same.

Prints a table; the exit code is 1 if an answer differs from the expected one or from that of the first run,
if text and structured content differ, or if a process keeps running.
"""
# ruff: noqa: T201 - prints a table

import argparse
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import CACHE, COMMAND, FOLDER, Failed, Home, fresh_home, http_server, node, parsed, run, stdio_engine

SESSION = json.loads((FOLDER / "session.json").read_text())
TRANSPORTS = ("stdio", "http", "sse")
PATHS = {"http": "/mcp", "sse": "/sse"}
SESSION_SECONDS = 90.0
EXIT_SECONDS = 10.0

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VARYING = {"created_at": "<time>", "next_cursor": "<cursor>"}


@dataclass(frozen=True, slots=True)
class Driver:
    """A client: the command that plays a session with it, and the protocol version that it must negotiate."""

    name: str
    command: Callable[[], Sequence[str | Path]]
    era: str
    protocol: str
    sse_protocol: str | None = None


DRIVERS = (
    Driver("Python SDK, modern", lambda: [sys.executable, FOLDER / "python_client.py"], "modern", "2026-07-28"),
    Driver("Python SDK, legacy", lambda: [sys.executable, FOLDER / "python_client.py"], "legacy", "2025-11-25"),
    Driver(
        "fastmcp client",
        lambda: [CACHE / "fastmcp/bin/python", FOLDER / "fastmcp_client.py"],
        "modern",
        "2026-07-28",
        sse_protocol="2025-11-25",  # over SSE it never offers a newer one
    ),
    Driver("TypeScript SDK 1", lambda: node("typescript_sdk.mjs"), "legacy", "2025-11-25"),
    Driver("TypeScript client 2", lambda: node("typescript_client.mjs"), "modern", "2026-07-28"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", default=shlex.join(COMMAND), help="the server to test (default: this checkout's)")
    parser.add_argument("--only", default="", help="run only the drivers and transports with this in their name")
    arguments = parser.parse_args()
    runs = [(driver, transport) for driver in DRIVERS for transport in TRANSPORTS]
    runs = [(driver, transport) for driver, transport in runs if arguments.only in f"{driver.name}, {transport}"]
    print(f"The same {len(SESSION)} calls, {len(runs)} times, each time on a fresh server.\n")
    print(f"{'client':22}{'transport':11}{'protocol':13}{'seconds':>7}  answers")
    reference: dict[str, Any] = {}
    failed_runs = 0
    for driver, transport in runs:
        began = time.monotonic()
        protocol = "-"
        try:
            seen, problems = play(driver, transport, shlex.split(arguments.command))
            protocol = seen["protocol"]
            problems += list(unexpected(driver, transport, seen))
            same = normalised({name: seen[name] for name in ("tools", "instructions", "answers")})
            problems += list(differences(reference, same)) if reference else []
            reference = reference or same
        except Failed as failed:
            problems = [str(failed)]
        failed_runs += bool(problems)
        took = time.monotonic() - began
        print(f"{driver.name:22}{transport:11}{protocol:13}{took:7.1f}  {'DIFFERENT' if problems else 'the same'}")
        for problem in problems:
            print(f"    {problem}")
    print(f"\n{len(runs) - failed_runs} of {len(runs)} gave the same expected answers to {len(SESSION)} calls")
    return 1 if failed_runs or not runs else 0


def play(driver: Driver, transport: str, command: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Play the session on a fresh server; return what the client saw, and the processes that did not exit."""
    with fresh_home() as home:
        with address(home, transport, command) as url:
            job = {
                "era": driver.era,
                "transport": transport,
                "command": command,
                "env": home.env,
                "url": url,
                "session": SESSION,
            }
            seen = parsed(run(driver.command(), seconds=SESSION_SECONDS, given=json.dumps(job)))
        return seen, home.settle(EXIT_SECONDS)


@contextmanager
def address(home: Home, transport: str, command: Sequence[str]) -> Iterator[str | None]:
    """Yield the URL of a server; over stdio None, as the client launches the server."""
    if transport == "stdio":
        with stdio_engine(home, command):
            yield None
        return
    with http_server(home, command) as url:
        yield url + PATHS[transport]


def unexpected(driver: Driver, transport: str, seen: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between this run and the expectations of the session."""
    protocol = (driver.sse_protocol if transport == "sse" else None) or driver.protocol
    if seen["protocol"] != protocol:
        yield f"protocol: {seen['protocol']} instead of {protocol}"
    answers = seen["answers"]
    for step in SESSION:
        answer = answers[step["name"]]
        for problem in wrong(step, answer, answers):
            yield f"{step['name']}: {problem}"


def wrong(step: Mapping[str, Any], answer: Mapping[str, Any], answers: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of one answer."""
    if "expect_error" in step:
        text = failure(answer)
        if text is None or step["expect_error"] not in text:
            yield f"no error with {step['expect_error']!r}: {answer}"
        return
    structured = answer.get("structured")
    if answer.get("isError", True) or not isinstance(structured, dict):
        yield f"failed: {answer}"
        return
    if len(answer["texts"]) != 1 or json.loads(answer["texts"][0]) != structured:
        yield f"the text is not the structured content: {answer['texts']} {structured}"
    for path, value in step["expect"].items():
        wanted = at(answers, value) if isinstance(value, str) and value.startswith("$") else value
        if at(structured, path) != wanted:
            yield f"{path} is {at(structured, path)!r} instead of {wanted!r}"


def failure(answer: Mapping[str, Any]) -> str | None:
    """Return the text of a tool error, or of a protocol error with its code; None for a success."""
    if "error" in answer:
        return f"{answer['error']['code']} {answer['error']['message']}"
    return "".join(answer["texts"]) if answer["isError"] else None


def at(data: Any, path: str) -> Any:
    """Return the value at a path such as "memories.0.content", or "$store.memory_id" for all answers."""
    if path.startswith("$"):
        step, path = path[1:].rsplit(".", 1)
        data = data[step]["structured"]
    for part in path.split("."):
        try:
            data = data[int(part)] if isinstance(data, list) else data[part]
        except (KeyError, IndexError, TypeError):
            return "<nothing>"
    return data


def normalised(data: Any) -> Any:
    """Replace values that always differ: ids by their number in order of appearance, creation times, cursors."""
    ids: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], f"<id {len(ids) + 1}>")

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            # the text of a successful answer has already been compared with its structured content
            skipped = {"texts"} if value.get("structured") else set()
            return {name: walk(part, name) for name, part in value.items() if name not in skipped}
        if isinstance(value, list):
            return [walk(part) for part in value]
        if isinstance(value, str):
            return VARYING.get(key) or UUID.sub(numbered, value)
        return value

    return walk(data)


def differences(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Yield the differences between two runs."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted(first.keys() | second.keys()):
            yield from differences(first.get(name, "<nothing>"), second.get(name, "<nothing>"), f"{path}/{name}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{path}/{index}")
    elif first != second:
        yield f"{path}: {second!r} instead of {first!r}"


if __name__ == "__main__":
    sys.exit(main())
