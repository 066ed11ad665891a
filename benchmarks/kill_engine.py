"""Kills the engine with SIGKILL repeatedly while clients store memories; counts lost and duplicate memories.

Each client keeps one bridge for the whole run and repeats a call that failed, as the error advises. The kill comes at a
random moment: in half of the rounds after the new engine has made a memory searchable, in three of ten after it has
acknowledged one, and in one of five while it starts. Half of the writers store messages of a session. At the end all
memories are listed, each acknowledged one is searched for in its own words, and `doctor` compares the index with the
record, neighbours included.

    python benchmarks/kill_engine.py --rounds 100
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from figures import verdict
from latency_homes import ROOT, version
from line_client import LineClient, ToolFailed, engine_of, engines_of, processes_of, stop_engine
from sample_memories import list_all, memory, not_found_first

WRITERS = 4
EARLIEST_KILL_SECONDS = 0.05
LATEST_KILL_SECONDS = 1.0
MOMENTS = {"starting": 0.2, "answering": 0.3, "working": 0.5}
"""The moments at which an engine is killed, with the share of each."""

LATEST_START_KILL_SECONDS = 0.5
PAUSE_SECONDS = 0.05
STUCK_SECONDS = 90.0
CHILD_SECONDS = 5.0

UNCERTAIN = -32050
UNREACHABLE = -32051

LOCKS = {"engine.lock", "start.lock"}


@dataclass(slots=True)
class EngineKillTally:
    """The figures of a run. `executed_before`: uncertain calls whose repetition showed that they had been executed."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    uncertain: int = 0
    executed_before: int = 0
    refused: int = 0
    other_errors: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    not_found: int = 0
    out_of_sync: int = 0
    duplicates: int = 0
    failed_writers: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    engines_at_the_end: int = 0
    orphaned_index_processes: int = 0
    still_running: list[str] = field(default_factory=list)
    strays_in_run: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-kill-") as folder:
        tally = run(Path(folder), arguments.rounds, random.Random(arguments.seed), quiet=arguments.json)
    if arguments.json:
        # Not `asdict`: it counts the pairs of a Counter instead of copying them.
        print(json.dumps({item.name: getattr(tally, item.name) for item in fields(tally)}))
    else:
        report(tally, arguments.rounds)


def run(home: Path, rounds: int, chance: random.Random, *, quiet: bool) -> EngineKillTally:
    """Run the rounds on this home; return the figures."""
    tally, stop = EngineKillTally(), threading.Event()
    writers: list[Writer] = []
    try:
        writers += [Writer(number, LineClient(home, stderr=subprocess.DEVNULL)) for number in range(WRITERS)]
        threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            storm(home, writers, rounds, chance, tally, quiet=quiet)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        count(home, writers, tally)
    finally:
        for writer in writers:
            writer.client.kill()
        tally.still_running = stop_engine(home)
    # No engine runs, so that this reads the index itself.
    tally.out_of_sync = version("this version", ROOT).doctor(home)["out_of_sync"]
    tally.strays_in_run = sorted({path.name for path in (home / "run").iterdir()} - LOCKS)
    return tally


class Writer:
    """One client that stores memories until it is stopped, and repeats failed calls."""

    def __init__(self, number: int, client: LineClient) -> None:
        self.client = client
        self.ids: dict[int, str] = {}
        self.uncertain = self.executed_before = self.refused = self.searchable = 0
        self.other_errors: Counter[str] = Counter()
        self.longest_gap = 0.0
        self.failure: str | None = None
        self._number = number
        self._session = {"session_id": f"talk {number}"} if number % 2 else {}

    def run(self, stop: threading.Event) -> None:
        try:
            self.client.initialize()
            last = time.monotonic()
            for number in itertools.count(self._number, WRITERS):
                if not self._store(number, stop):
                    return
                self.longest_gap = max(self.longest_gap, time.monotonic() - last)
                last = time.monotonic()
        except Exception as error:  # noqa: BLE001  # any failure of a client is counted
            self.failure = repr(error)

    def _store(self, number: int, stop: threading.Event) -> bool:
        """Store one memory, repeating the call as often as necessary; return whether it was acknowledged."""
        was_uncertain = False
        while not stop.is_set():
            try:
                stored = self.client.call("store_memory", content=memory(number), **self._session)
            except ToolFailed as error:
                was_uncertain |= error.code == UNCERTAIN
                self._count_error(error)
            else:
                self.ids[number] = stored["memory_id"]
                self.executed_before += was_uncertain and not stored["created"]
                self.searchable += stored["created"] and stored["indexed"]
                return True
        return False

    def _count_error(self, error: ToolFailed) -> None:
        if error.code == UNCERTAIN:
            self.uncertain += 1
            return
        if error.code == UNREACHABLE:
            self.refused += 1
        else:
            self.other_errors[str(error)] += 1
        time.sleep(PAUSE_SECONDS)


def storm(
    home: Path, writers: list[Writer], rounds: int, chance: random.Random, tally: EngineKillTally, *, quiet: bool
) -> None:
    """Kill the engine once a round; afterwards wait until each writer has stored another memory."""
    killed: int | None = None
    for number in range(rounds):
        began = time.monotonic()
        wait_until(partial(another_engine, home, killed), "no engine was started")
        (moment,) = chance.choices(list(MOMENTS), list(MOMENTS.values()))
        if moment == "starting":
            time.sleep(chance.uniform(0, LATEST_START_KILL_SECONDS))
        else:
            counted = stored if moment == "answering" else searchable
            wait_until(partial(has_grown, counted, writers, counted(writers)), "the engine has acknowledged nothing")
            time.sleep(chance.uniform(EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS))
        killed = kill(home, tally)
        tally.moments[moment] += 1
        if not quiet:
            passed = time.monotonic() - began
            print(f"kill {number + 1}, {passed:.1f} s after the last, while {moment}: {stored(writers)} acknowledged")
    before = [stored([writer]) for writer in writers]
    for writer, counted_before in zip(writers, before, strict=True):
        wait_until(partial(has_grown, stored, [writer], counted_before), "a writer was no longer served")


def another_engine(home: Path, killed: int | None) -> bool:
    return engine_of(home) not in {None, killed}


def stored(writers: list[Writer]) -> int:
    return sum(len(writer.ids) for writer in writers)


def searchable(writers: list[Writer]) -> int:
    return sum(writer.searchable for writer in writers)


def has_grown(counted: Callable[[list[Writer]], int], writers: list[Writer], before: int) -> bool:
    """Return whether the count has grown, or cannot grow because all writers have failed."""
    return counted(writers) > before or all(writer.failure for writer in writers)


def wait_until(happened: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + STUCK_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise SystemExit(f"{otherwise} within {STUCK_SECONDS:g} s")
        time.sleep(0.005)


def kill(home: Path, tally: EngineKillTally) -> int | None:
    """Kill the engine and return its process id; count the index processes that outlive it."""
    engine = engine_of(home)
    if engine is None:
        print("the engine had ended by itself", file=sys.stderr)
        return None
    os.kill(engine, signal.SIGKILL)
    tally.kills += 1
    deadline = time.monotonic() + CHILD_SECONDS
    while (orphans := index_processes(home, engine)) and time.monotonic() < deadline:
        time.sleep(0.02)
    tally.orphaned_index_processes += orphans
    return engine


def index_processes(home: Path, engine: int) -> int:
    """Count the index processes that were started by this engine."""
    commands = processes_of(home).values()
    return sum("memos_mcp.qdrant.edge.worker" in command and str(engine) in command.split() for command in commands)


def count(home: Path, writers: list[Writer], tally: EngineKillTally) -> None:
    """Check the memories through the first writer's bridge, and add up the writers' figures."""
    ids = {number: stored for writer in writers for number, stored in writer.ids.items()}
    tally.acknowledged = len(ids)
    tally.uncertain = sum(writer.uncertain for writer in writers)
    tally.executed_before = sum(writer.executed_before for writer in writers)
    tally.refused = sum(writer.refused for writer in writers)
    tally.other_errors = dict(sum((writer.other_errors for writer in writers), Counter()))
    tally.longest_gap = max(writer.longest_gap for writer in writers)
    tally.failed_writers = [writer.failure for writer in writers if writer.failure is not None]
    tally.engines_at_the_end = len(engines_of(home))
    client = writers[0].client
    contents, total = list_all(client)
    tally.lost = sum(contents.get(stored) != memory(number) for number, stored in ids.items())
    tally.duplicates = len(contents) - len(set(contents.values())) + abs(total - len(contents))
    tally.not_found = len(not_found_first(client, {memory(number): stored for number, stored in ids.items()}))


def report(tally: EngineKillTally, rounds: int) -> None:
    rows = (
        ("kills of the engine", tally.kills),
        ("when", ", ".join(f"{moment} {times}" for moment, times in tally.moments.most_common())),
        ("acknowledged", tally.acknowledged),
        ("lost", tally.lost),
        ("not the first answer to their own words", tally.not_found),
        ("duplicates", tally.duplicates),
        ("out of sync with the record", tally.out_of_sync),
        ("uncertain calls, repeated", tally.uncertain),
        ("of these, already stored", tally.executed_before),
        ("refused calls, repeated", tally.refused),
        ("calls answered with another error", tally.other_errors or "none"),
        ("writers that failed", tally.failed_writers or "none"),
        ("longest wait of a writer for a memory", f"{tally.longest_gap:.2f} s"),
        ("engines at the end", tally.engines_at_the_end),
        ("index processes that outlived their engine", tally.orphaned_index_processes),
        ("still running after `memos-as stop`", tally.still_running or "nothing"),
        ("files in run/ other than the locks", tally.strays_in_run or "nothing"),
    )
    for name, value in rows:
        print(f"{name:45} {value}")
    kept = tally.kills == rounds and not tally.lost and not tally.not_found and not tally.duplicates
    print(verdict(f"{rounds} kills, no acknowledged memory lost", met=kept))
    print(verdict("every point has the context of the record", met=not tally.out_of_sync))
    print(verdict("every client continues without a restart", met=not tally.failed_writers))
    print(verdict("one engine afterwards", met=tally.engines_at_the_end == 1))


if __name__ == "__main__":
    main()
