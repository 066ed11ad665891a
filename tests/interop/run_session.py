"""Plays one session of calls through every client and transport, and demands the same answers from all.

Prints a table; the exit code is 1 when an answer differs from what the session expects or from the first run's,
when text and structured content differ, or when a process is left behind.
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
PLACES = {"http": "/mcp", "sse": "/sse"}
SESSION_SECONDS = 90.0
LEAVE_SECONDS = 10.0

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VARYING = {"created_at": "<time>", "next_cursor": "<cursor>"}


@dataclass(frozen=True, slots=True)
class Driver:
    """A client: the command that plays a session with it, and the protocol that it is to agree on with the server."""

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
        sse_protocol="2025-11-25",  # over SSE it never tries anything newer
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
    troubled = 0
    for driver, transport in runs:
        began = time.monotonic()
        protocol = "-"
        try:
            seen, troubles = play(driver, transport, shlex.split(arguments.command))
            protocol = seen["protocol"]
            troubles += list(unexpected(driver, transport, seen))
            same = normalised({name: seen[name] for name in ("tools", "instructions", "answers")})
            troubles += list(differences(reference, same)) if reference else []
            reference = reference or same
        except Failed as failed:
            troubles = [str(failed)]
        troubled += bool(troubles)
        took = time.monotonic() - began
        print(f"{driver.name:22}{transport:11}{protocol:13}{took:7.1f}  {'DIFFERENT' if troubles else 'the same'}")
        for trouble in troubles:
            print(f"    {trouble}")
    print(f"\n{len(runs) - troubled} of {len(runs)} gave the same expected answers to {len(SESSION)} calls")
    return 1 if troubled or not runs else 0


def play(driver: Driver, transport: str, command: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Play the session on a fresh server; return what the client saw, and the processes that did not leave."""
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
        return seen, home.settle(LEAVE_SECONDS)


@contextmanager
def address(home: Home, transport: str, command: Sequence[str]) -> Iterator[str | None]:
    """Lend the address of a server; over stdio the client launches what it needs."""
    if transport == "stdio":
        with stdio_engine(home, command):
            yield None
        return
    with http_server(home, command) as url:
        yield url + PLACES[transport]


def unexpected(driver: Driver, transport: str, seen: Mapping[str, Any]) -> Iterator[str]:
    """Say where this run is not what the session expects, whatever the other runs saw."""
    protocol = (driver.sse_protocol if transport == "sse" else None) or driver.protocol
    if seen["protocol"] != protocol:
        yield f"protocol: {seen['protocol']} instead of {protocol}"
    answers = seen["answers"]
    for step in SESSION:
        answer = answers[step["name"]]
        for trouble in wrong(step, answer, answers):
            yield f"{step['name']}: {trouble}"


def wrong(step: Mapping[str, Any], answer: Mapping[str, Any], answers: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with one answer."""
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
    """Return an error as text: a tool's, or a protocol error with its code."""
    if "error" in answer:
        return f"{answer['error']['code']} {answer['error']['message']}"
    return "".join(answer["texts"]) if answer["isError"] else None


def at(data: Any, path: str) -> Any:
    """Return what stands at "memories.0.content", or, in all answers, at "$store.memory_id"."""
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
    """Replace what differs by nature: ids by their number in order of appearance, times of storing, cursors."""
    ids: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], f"<id {len(ids) + 1}>")

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            # the text of a successful answer was compared with its structured content already
            skipped = {"texts"} if value.get("structured") else set()
            return {name: walk(part, name) for name, part in value.items() if name not in skipped}
        if isinstance(value, list):
            return [walk(part) for part in value]
        if isinstance(value, str):
            return VARYING.get(key) or UUID.sub(numbered, value)
        return value

    return walk(data)


def differences(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Say where two runs differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted(first.keys() | second.keys()):
            yield from differences(first.get(name, "<nothing>"), second.get(name, "<nothing>"), f"{place}/{name}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{place}/{index}")
    elif first != second:
        yield f"{place}: {second!r} instead of {first!r}"


if __name__ == "__main__":
    sys.exit(main())
