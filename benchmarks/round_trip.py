"""Takes the record of a home out and into empty homes, by `export` and by `backup`, and compares all rows and answers.

Then backs the home up while writers store, and kills `backup`, `restore` and the import of an export at random moments.
Exits with 1 when anything differs, is lost or is half.

    python benchmarks/round_trip.py --memories 20000 --tools 500 --kills 10
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from figures import verdict
from line_client import OURS, LineClient, environment, opened, stop_engine
from round_trip_homes import HNSW_THRESHOLD, answers, digests, fetched, make, run, size

from memos_mcp.archive.archive_reader import opened_archive

WRITERS = 4
STORED_BEFORE = 200
KILL_LATEST = 1.1
"""A command is killed within this many times of what it took undisturbed; some rounds are to end by themselves."""


class Writers(threading.Thread):
    """Clients of one engine, each of which stores numbered memories one after the other; `stored`: how many, each."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.stored = [0] * WRITERS
        self.stopping = threading.Event()
        self._home = home

    def run(self) -> None:
        threads = [threading.Thread(target=self._write, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _write(self, writer: int) -> None:
        with opened(LineClient(self._home, hnsw_threshold=HNSW_THRESHOLD, index_wait_seconds="0")) as client:
            while not self.stopping.is_set():
                number = self.stored[writer]
                client.call(
                    "store_memory", content=f"Load {writer} {number}", metadata={"load": writer, "number": number}
                )
                self.stored[writer] = number + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=20_000)
    parser.add_argument("--tools", type=int, default=500)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--kills", type=int, default=5, help="rounds for each of the three commands")
    parser.add_argument("--seed", type=int, default=13)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-round-trip-", ignore_cleanup_errors=True) as folder:
        sys.exit(0 if all(measure(Path(folder), arguments)) else 1)


def measure(folder: Path, arguments: argparse.Namespace) -> list[bool]:
    """Run all parts; return what was met."""
    home, ask = folder / "home", (arguments.questions, arguments.memories, arguments.seed)
    make(home, arguments.memories, arguments.tools, folder, arguments.seed)
    expected = digests(home)
    found = answers(home, *ask)
    print("the home has " + ", ".join(f"{count:,} {name}" for name, (count, _) in expected.items()))

    met = list[bool]()
    backup, exported = folder / "home.backup", folder / "home.jsonl"
    copies: dict[str, tuple[Path, tuple[str, ...], tuple[str, ...]]] = {
        "backup": (backup, ("backup",), ("restore",)),
        "export": (
            exported,
            ("export", "--all-namespaces", "--vectors"),
            ("import", "--all-namespaces", "--no-wait"),
        ),
    }
    for name, (path, out, into) in copies.items():
        copy = folder / f"{name} copy"
        seconds = [timed(lambda: run(home, *out, path)), timed(lambda: run(copy, *into, path))]  # noqa: B023 - called at once
        print(f"{name}: {size(path)}, written in {seconds[0]:.1f} s, read in {seconds[1]:.1f} s")
        met.append(report(f"{name}: all rows are identical", met=digests(copy) == expected))
        same = answers(copy, *ask) == found
        met.append(report(f"{name}: {len(found):,} answers are identical", met=same))
    met += under_load(folder, home)
    met += killed(folder, home, backup, exported, arguments)
    return met


def under_load(folder: Path, home: Path) -> list[bool]:
    """Back up while writers store; return whether the backup is a moment of the record."""
    writers, backup, copy = Writers(home), folder / "load.backup", folder / "load copy"
    try:
        writers.start()
        while sum(writers.stored) < STORED_BEFORE:
            time.sleep(0.1)
        before = list(writers.stored)
        run(home, "backup", backup)
        after = list(writers.stored)
        writers.stopping.set()
        writers.join()
    finally:
        writers.stopping.set()
        stop_engine(home)
    run(copy, "restore", backup)
    rows = anyio.run(
        fetched,
        copy,
        "SELECT (metadata ->> 'load')::int, count(*), max((metadata ->> 'number')::int) + 1 FROM agent_memories "
        "WHERE metadata ? 'load' GROUP BY 1",
    )
    counts = {writer: count for writer, count, _ in rows}
    print(f"under load: {sum(before):,} stores acknowledged before the backup, {sum(after):,} when it was done")
    return [
        report("load: writers stored during the backup", met=sum(after) > sum(before)),
        report(
            "load: what was acknowledged before the backup is in it",
            met=all(counts.get(writer, 0) >= count for writer, count in enumerate(before)),
        ),
        report("load: no store is in it without those before it", met=all(count == last for _, count, last in rows)),
    ]


def killed(folder: Path, home: Path, backup: Path, exported: Path, arguments: argparse.Namespace) -> list[bool]:
    """Kill each command at random moments; return whether what it leaves is whole."""
    chance, target = random.Random(arguments.seed), folder / "killed.backup"
    run(home, "backup", target)
    expected_restore = timed(lambda: run(folder / "timed restore", "restore", backup))
    expected = digests(folder / "timed restore")
    met = list[bool]()
    for _ in range(arguments.kills):
        kill_within(chance, timed(lambda: run(home, "backup", target)), home, "backup", target)
        met.append(is_whole(target))
    report(f"kill: the backup is whole after each of {arguments.kills} kills of `backup`", met=all(met))

    restored = list[bool]()
    for number in range(arguments.kills):
        copy = folder / f"killed restore {number}"
        kill_within(chance, expected_restore, copy, "restore", backup)
        restored.append(holds_all_or_nothing(copy, expected))
    report(f"kill: all or nothing is restored after each of {arguments.kills} kills of `restore`", met=all(restored))

    command = ("import", "--all-namespaces", "--no-wait", exported)
    expected_import = timed(lambda: run(folder / "timed import", *command))
    content = order_of(folder / "timed import")
    imported = list[bool]()
    for number in range(arguments.kills):
        copy = folder / f"killed import {number}"
        kill_within(chance, expected_import, copy, *command)
        run(copy, *command)
        imported.append(order_of(copy) == content)
    report(f"kill: `import` is completed by repeating it after each of {arguments.kills} kills", met=all(imported))
    return [*met, *restored, *imported]


def kill_within(chance: random.Random, seconds: float, home: Path, *command: str | Path) -> None:
    """Start a command and kill it at a random moment; it may be done before."""
    process = subprocess.Popen(
        [*OURS, *map(str, command)],
        env=environment(home, hnsw_threshold=HNSW_THRESHOLD),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(chance.uniform(0.1, KILL_LATEST) * seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()


def is_whole(path: Path) -> bool:
    with opened_archive(path) as archive:
        archive.verify(lambda _rows: None)
    return True


def holds_all_or_nothing(home: Path, expected: dict[str, tuple[int, str]]) -> bool:
    """Whether a home has this record, or none, into which a restore is then possible."""
    run(home, "migrate")
    found = digests(home)
    return found == expected or not any(count for count, _ in found.values())


def order_of(home: Path) -> list[tuple[Any, ...]]:
    """Return the rows of a home's record in their order, without their numbers: a repeated import draws new ones."""
    return anyio.run(
        fetched,
        home,
        "SELECT id, (to_jsonb(one) - 'sequence')::text FROM agent_memories AS one "
        "UNION ALL SELECT id, (to_jsonb(one) #- '{stored,sequence}')::text FROM forgotten_memories AS one "
        "UNION ALL SELECT memory_id, one::text FROM memory_events AS one "
        "UNION ALL SELECT point_id, (to_jsonb(one) - 'id')::text FROM registered_tools AS one "
        "UNION ALL SELECT NULL, vector::text FROM embeddings ORDER BY 1, 2",
    )


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def report(bar: str, *, met: bool) -> bool:
    print(verdict(bar, met=met), flush=True)
    return met


if __name__ == "__main__":
    main()
