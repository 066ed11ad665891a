"""Kills several clients at a time with SIGKILL at random moments; counts the processes and files that remain.

Each client is a process of its own that launches a bridge, opens a session and stores memories. Three of four hold
the pipes of their bridge, as clients do. For every fourth this program holds the pipes, so that the bridge has to
detect the death of its parent. No engine runs when the first client starts. Temporary files have a folder of their own.
"""

import argparse
import itertools
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from figures import verdict
from line_client import (
    OURS,
    PROTOCOL_VERSION,
    LineClient,
    command_line,
    connected,
    engine_of,
    engines_of,
    environment,
    is_bridge,
    processes_of,
    stop_engine,
)
from sample_memories import memory

AT_A_TIME = 8
LATEST_KILL_SECONDS = 2.0
LEAVE_WITHIN_SECONDS = 1.0
GIVE_UP_SECONDS = 10.0

MARK = "CHURNING_CLIENT"
SHELL = '"$@"; :'
"""The second command keeps the shell from replacing itself with the first."""


@dataclass(slots=True)
class ChurnTally:
    """The figures of a run. `slowest_to_leave`: seconds from a kill; `moments`: the steps that clients had reached."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    slowest_to_leave: float = 0.0
    remaining_bridges: int = 0
    engines_at_the_end: int = 0
    served_by_the_same: bool = False
    strays: list[str] = field(default_factory=list)
    still_running: list[str] = field(default_factory=list)
    strays_after_stop: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--be-client", nargs=2, metavar=("HOME", "NUMBER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.be_client:
        run_client(Path(arguments.be_client[0]), int(arguments.be_client[1]))
        return
    with tempfile.TemporaryDirectory(prefix="memos-churn-") as folder:
        tally = run(Path(folder), arguments.clients, random.Random(arguments.seed))
    if arguments.json:
        # Not `asdict`: it counts the pairs of a Counter instead of copying them.
        print(json.dumps({item.name: getattr(tally, item.name) for item in fields(tally)}))
    else:
        report(tally)


def run(folder: Path, clients: int, chance: random.Random) -> ChurnTally:
    """Start and kill this many clients; return the figures."""
    home, temporary, tally = folder / "home", folder / "tmp", ChurnTally()
    home.mkdir()
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    with connected(home) as client:
        client.call("store_memory", content="The first memory, so that there are data and a model.")
        running = files_of(home, temporary)
    stopped = files_of(home, temporary)
    try:
        waiting = queue.SimpleQueue[tuple[int, float]]()
        for number in range(clients):
            waiting.put((number, chance.uniform(0, LATEST_KILL_SECONDS)))
        threads = [threading.Thread(target=churn, args=(home, waiting, tally)) for _ in range(AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count_remaining(home, tally)
        tally.strays = sorted(files_of(home, temporary) - running)
    finally:
        tally.still_running = stop_engine(home)
    tally.strays_after_stop = sorted(files_of(home, temporary) - stopped)
    return tally


def churn(home: Path, waiting: "queue.SimpleQueue[tuple[int, float]]", tally: ChurnTally) -> None:
    """Start one client after the other, and kill each after its delay."""
    with suppress(queue.Empty):
        while True:
            number, seconds = waiting.get_nowait()
            held = number % 4 == 3
            with start(home, number, held=held) as client:
                if held:
                    wait_until_parent_is_known(number)
                time.sleep(seconds)
                ended = client.poll() is not None
                client.kill()
                client.wait()
                seconds_to_leave = wait_until_exited(number)
                assert client.stdout is not None
                reached = client.stdout.read().decode().splitlines()[-1:] or ["not yet launched"]
            moment = "pipes held by another" if held else reached[0]
            tally.moments["ended by itself" if ended else moment] += 1
            tally.kills += not ended
            tally.slowest_to_leave = max(tally.slowest_to_leave, seconds_to_leave)


def start(home: Path, number: int, *, held: bool) -> "subprocess.Popen[bytes]":
    """Start a client that holds its bridge's pipes; `held`: a shell whose bridge has the pipes of this program."""
    own_command = [sys.executable, __file__, "--be-client", str(home), str(number)]
    client = subprocess.Popen(
        ["/bin/sh", "-c", SHELL, "sh", *OURS] if held else own_command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment(home), MARK: mark(number)},
    )
    if held:
        assert client.stdin is not None
        client.stdin.writelines(json.dumps(message).encode() + b"\n" for message in opening(number))
        client.stdin.flush()
    return client


def opening(number: int) -> Iterator[dict[str, Any]]:
    """Yield the messages of a client that waits for no answer."""
    params = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": {"name": "churn", "version": "1"}}
    yield {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    yield {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for request_id in range(1, 11):
        call = {"name": "store_memory", "arguments": {"content": memory(number * 1_000 + request_id)}}
        yield {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": call}


def run_client(home: Path, number: int) -> None:
    """Launch a bridge and store through it without end; print each step."""
    client = LineClient(home)
    print("launched", flush=True)
    client.initialize()
    print("initialized", flush=True)
    for count in itertools.count(1):
        client.call("store_memory", content=memory(number * 1_000 + count))
        print("storing", flush=True)


def wait_until_exited(number: int) -> float:
    """Wait until no process of this client runs; return the seconds. Kill the processes that do not exit in time."""
    began = time.monotonic()
    while processes := processes_of_client(number):
        # A bridge that starts an engine is forked, and its child has this command line until it runs the engine's.
        while running := [process for process in processes if is_of_client(command_line(process))]:
            if time.monotonic() - began > GIVE_UP_SECONDS:
                for process in running:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            time.sleep(0.005)
    return time.monotonic() - began


def wait_until_parent_is_known(number: int) -> None:
    """Wait until the bridge watches its parent's process; before that it only notices the end of its pipes."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            for process in processes_of_client(number):
                if any(str(file.readlink()).endswith("[pidfd]") for file in Path(f"/proc/{process}/fd").iterdir()):
                    return
        time.sleep(0.005)


def processes_of_client(number: int) -> list[int]:
    """Return the client itself, its bridge and a shell; not the engine that the bridge may have started."""
    wanted, found = f"{MARK}={mark(number)}\0".encode(), list[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            own = is_of_client(command_line(int(folder.name)))
            if own and wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def is_of_client(command: str) -> bool:
    """Return whether a command line may be one of a client's processes."""
    return is_bridge(command) or "--be-client" in command or command.startswith("/bin/sh")


def mark(number: int) -> str:
    """Return the marker in the environment of this client's processes, unique to this run of the program."""
    return f"{os.getpid()}.{number}"


def count_remaining(home: Path, tally: ChurnTally) -> None:
    """Count the processes that run without any client, and check that the engine serves a new client."""
    tally.remaining_bridges = sum(map(is_bridge, processes_of(home).values()))
    engines = engines_of(home)
    tally.engines_at_the_end = len(engines)
    client = LineClient(home)
    try:
        client.initialize()
        client.call("query_memory", query=memory(0))
    finally:
        client.kill()
    tally.served_by_the_same = engines == {engine_of(home)}


def files_of(home: Path, temporary: Path) -> set[str]:
    """Return the entries of the home folder, of its `run` folder, and all temporary files."""
    found = [*home.iterdir(), *(home / "run").iterdir(), *temporary.rglob("*")]
    return {str(path.relative_to(home.parent)) for path in found}


def report(tally: ChurnTally) -> None:
    rows = (
        ("clients killed", tally.kills),
        ("when: ", ", ".join(f"{moment} {count}" for moment, count in tally.moments.most_common())),
        ("slowest bridge to leave", f"{tally.slowest_to_leave:.3f} s"),
        ("bridges that still run", tally.remaining_bridges),
        ("engines at the end", tally.engines_at_the_end),
        ("stray files, the engine running", tally.strays or "none"),
        ("a new client is served by the same engine", tally.served_by_the_same),
        ("still running after `memos-as stop`", tally.still_running or "nothing"),
        ("stray files after `memos-as stop`", tally.strays_after_stop or "none"),
    )
    for name, value in rows:
        print(f"{name:45} {value}")
    quick = tally.slowest_to_leave <= LEAVE_WITHIN_SECONDS and not tally.remaining_bridges
    print(verdict(f"no bridge {LEAVE_WITHIN_SECONDS:g} s after the kill of its client", met=quick))
    one = tally.engines_at_the_end == 1 and tally.served_by_the_same and not tally.moments["ended by itself"]
    clean = not (tally.strays or tally.still_running or tally.strays_after_stop)
    print(verdict(f"{tally.kills} clients killed at random leave one engine and no stray file", met=one and clean))


if __name__ == "__main__":
    main()
