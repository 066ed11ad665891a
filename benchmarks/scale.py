"""Measures what one machine carries at several sizes, and simulates from these figures what a fleet would.

    python benchmarks/scale.py --sizes 10000 100000 [--keep FOLDER [--only-compare]] [--json FILE]
    python benchmarks/scale.py --simulate FILE --engines 10 --nodes 5 --databases 2

Each size is imported with random unit vectors that are stored beforehand, so no inference is measured. Random
directions are the worst case for a graph. Printed: memories stored a second, passages stored and indexed a second,
the time in which the graph was built, query times over stdio, the start of a new engine, the memory of all processes
(proportional set size, Linux) and the size of the data folder. At the end all sizes are asked the same questions, one
after the other, so that the noise of the machine is the same for all.

The simulation shards tenants evenly over engines, Qdrant nodes and databases, each on a machine of its own with as many
cores as this one. What a query costs each of them is the processor time that the engine, the index process and Postgres
used for it here; the part that is used up first limits the fleet.
"""

import argparse
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
from figures import percentile, timed
from latency_homes import (
    QUIET_SECONDS,
    ROOT,
    Version,
    load,
    processor_seconds,
    served,
    settle,
    store_random_vectors,
    version,
)
from latency_texts import generated, questions_about
from line_client import processes_of

QUESTIONS: Final = 200
SEED: Final = 8
PARTS: Final = ("engine", "index", "postgres")


@dataclass(frozen=True, slots=True)
class Size:
    """The figures of one size. Rates are a second from the launch, times milliseconds, memory and disk bytes.

    settled_after: the seconds from the first answer after the import until all is quiet: the graph is built then.
    initialize, first_answer, first_by_meaning, compared: the times from the launch of a client without a running engine
    until it is initialized, until its first answer, until one that used meaning, and until one that says that nothing
    can be missing.  memory: of all processes after the questions.  start_memory: the most during that start.
    processor: the milliseconds of processor time that each part uses for a query.
    """

    memories: int
    stored_rate: float
    indexed_rate: float
    settled_after: float
    query_p50: float
    query_p95: float
    initialize: float
    first_answer: float
    first_by_meaning: float
    compared: float
    memory: int
    start_memory: int
    disk: int
    processor: Mapping[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of memories")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and reuse existing ones")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--simulate", type=Path, metavar="FILE", help="simulate a fleet from the figures in a file")
    parser.add_argument(
        "--only-compare", action="store_true", help="start and ask the homes of --keep, and import nothing"
    )
    for part in ("engines", "nodes", "databases"):
        parser.add_argument(f"--{part}", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.simulate is not None:
        sizes = [Size(**fields) for fields in json.loads(arguments.simulate.read_text())]
        print("\n".join(simulate(sizes, arguments.engines, arguments.nodes, arguments.databases)))
        return
    with TemporaryDirectory(prefix="memos-scale-") as folder:
        homes = {size: (arguments.keep or Path(folder)) / str(size) for size in sorted(arguments.sizes)}
        sizes = [] if arguments.only_compare else [measure(size, home) for size, home in homes.items()]
        if arguments.only_compare:
            start_again(homes)
        compare(homes)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(size) for size in sizes], indent=2) + "\n")


def measure(count: int, home: Path) -> Size:
    """Fill a home, query it, start it again, and print the figures."""
    this = version("this version", ROOT)
    lines = list(generated(count, SEED))
    home.mkdir(parents=True, exist_ok=True)
    anyio.run(store_random_vectors, this, home, [line["content"] for line in lines], SEED)
    loaded = load(this, home, lines)
    questions = questions_about(lines, QUESTIONS, SEED)
    queries = list[float]()
    with served(this, home) as client:
        began = time.perf_counter()
        settle(client, home)
        settled_after = time.perf_counter() - began - QUIET_SECONDS
        before = busy(home)
        for question in questions:
            with timed(queries):
                client.call("query_memory", query=question)
        processor = {part: (seconds - before[part]) * 1000 / QUESTIONS for part, seconds in busy(home).items()}
        memory = memory_of(home)
    (initialized, first, meant, compared), start_memory = start(this, home, questions)
    disk = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
    stored = count / loaded.stored_after if loaded.stored_after else 0.0
    rate = loaded.passages / loaded.indexed_after
    p50, p95 = percentile(queries, 0.5), percentile(queries, 0.95)
    times = (settled_after, p50, p95, initialized, first, meant, compared)
    size = Size(count, stored, rate, *times, memory, start_memory, disk, processor)
    print("\n".join(rows(size)), flush=True)
    return size


def compare(homes: Mapping[int, Path]) -> None:
    """Ask homes of all sizes each question, one after the other, when all are quiet; print their p50 and its ratios.

    The queries right after a load also wait for Postgres, which vacuums and analyses its tables for a while.
    """
    this = version("this version", ROOT)
    questions = questions_about(list(generated(min(homes), SEED)), QUESTIONS, SEED + 1)
    times: dict[int, list[float]] = {size: [] for size in homes}
    with ExitStack() as stack:
        clients = {size: stack.enter_context(served(this, home)) for size, home in homes.items()}
        for size, client in clients.items():
            settle(client, homes[size])
        for question in questions:
            for size, client in clients.items():
                with timed(times[size]):
                    client.call("query_memory", query=question)
    smallest = percentile(times[min(homes)], 0.5)
    for size, measured in times.items():
        p50 = percentile(measured, 0.5)
        print(f"{size:,} memories beside the others: query p50 {p50:.1f} ms, {p50 / smallest:.2f} times the smallest's")


def start_again(homes: Mapping[int, Path]) -> None:
    """Start homes that are filled, and print the figures; a first start upgrades and settles what is older."""
    this = version("this version", ROOT)
    questions = questions_about(list(generated(min(homes), SEED)), QUESTIONS, SEED)
    for size, home in homes.items():
        with served(this, home) as client:
            settle(client, home)
        times, memory = start(this, home, questions)
        print(f"{size:,} memories:", *start_rows(times, memory), sep="\n", flush=True)


def start_rows(times: Sequence[float], memory: int) -> list[str]:
    """Return the lines on a start: the milliseconds that `start` measures, and the bytes of all processes."""
    initialize, first, meant, compared = times
    return [
        f"  start: initialized after {initialize:,.0f} ms, compared with the record {compared:,.0f} ms",
        f"  first answer {first:,.0f} ms, by meaning {meant:,.0f} ms",
        f"  memory of all processes at most {memory / 2**20:,.0f} MiB during the start",
    ]


def busy(home: Path) -> dict[str, float]:
    """Return the processor seconds that each part has used (Linux)."""
    seconds = dict.fromkeys(PARTS, 0.0)
    for number, command in processes_of(home).items():
        part = "index" if "edge.worker" in command else "postgres" if "postgres" in command else "engine"
        seconds[part] += processor_seconds(number)
    return seconds


def start(this: Version, home: Path, questions: Sequence[str]) -> tuple[list[float], int]:
    """Return the times of a start, as `Size` describes them, and the most memory that all processes used meanwhile."""
    began = time.perf_counter()
    times = list[float]()
    with largest_memory(home) as memory, served(this, home) as client:
        times.append(time.perf_counter() - began)
        awaited: list[Callable[[Mapping[str, Any]], bool]] = [
            lambda _: True,
            by_meaning,
            lambda answer: answer["degraded"] is None,
        ]
        for question in itertools.cycle(questions):
            answer = client.call("query_memory", query=question)
            while awaited and awaited[0](answer):
                times.append(time.perf_counter() - began)
                del awaited[0]
            if not awaited:
                break
    return [1000 * seconds for seconds in times], max(memory)


@contextmanager
def largest_memory(home: Path) -> Iterator[list[int]]:
    """Yield a list that grows by the memory of all processes of a home, about ten times a second."""
    samples, finished = [0], threading.Event()

    def sample() -> None:
        while not finished.wait(0.1):
            samples.append(memory_of(home))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        finished.set()
        thread.join()


def memory_of(home: Path) -> int:
    """Return the bytes of all processes of a home."""
    return sum(_proportional_set_size(process) for process in processes_of(home))


def by_meaning(answer: Mapping[str, Any]) -> bool:
    """Whether the dense lane contributed to an answer."""
    return any("dense" in hit["signals"] for hit in answer["memories"])


def rows(size: Size) -> list[str]:
    """Return the lines that are printed for a size."""
    return [
        f"{size.memories:,} memories:",
        f"  stored {size.stored_rate:,.0f}/s, stored and indexed {size.indexed_rate:,.0f} passages/s",
        f"  quiet after {size.settled_after:,.0f} s more: the graph is built then",
        f"  query p50 {size.query_p50:.1f} ms, p95 {size.query_p95:.1f} ms",
        *start_rows((size.initialize, size.first_answer, size.first_by_meaning, size.compared), size.start_memory),
        "  processor time of a query: "
        + ", ".join(f"{part} {milliseconds:.1f} ms" for part, milliseconds in size.processor.items()),
        f"  memory {size.memory / 2**20:,.0f} MiB",
        f"  disk {size.disk / 2**20:,.0f} MiB",
    ]


def simulate(sizes: Sequence[Size], engines: int, nodes: int, databases: int) -> list[str]:
    """Return what a fleet carries when each of its databases has as many memories as were measured."""
    machines = dict(zip(PARTS, (engines, nodes, databases), strict=True))
    lines = []
    for size in sizes:
        cores = (os.cpu_count() or 1) * 1000
        # A node or an engine with more memories than were measured costs more for each query than this.
        queries = {part: machines[part] * cores / size.processor[part] for part in PARTS if size.processor[part]}
        limit = min(queries, key=lambda part: queries[part])
        lines.append(
            f"{databases * size.memories:,} memories, {size.memories:,} in each of {databases} databases: "
            f"{queries[limit]:,.0f} queries/s, then {limit} is used up; {databases * size.stored_rate:,.0f} stores/s"
        )
    return lines


def _proportional_set_size(process: int) -> int:
    """Return the bytes of a process, with its share of what several processes have in common; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
