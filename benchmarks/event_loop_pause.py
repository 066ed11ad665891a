"""Measures how long the event loop is blocked while the embedded index is filled, searched and rebuilt.

    python benchmarks/event_loop_pause.py [--points 60000]

A ticker sleeps a millisecond at a time and records how late it wakes; the bar is that it is never more than 0.1 s late.
Searches run all the time: while points are put in batches, while a generation is built and swapped in, and afterwards.
"""

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from uuid import UUID

import anyio
import anyio.lowlevel
import numpy as np

from memos_mcp.domain.index import (
    ALL_ITEMS,
    Draft,
    Entry,
    IndexFilter,
    IndexQuery,
    ItemState,
    Passage,
    Shape,
    Span,
    VectorIndex,
    WeightedText,
)
from memos_mcp.qdrant.edge.index import EdgeIndex

BAR_SECONDS = 0.1
SHAPE = Shape("random", 384)
CENTRES = 300
BATCHES = (64, 256, 500)
NAMESPACES = 20


class Points:
    """Entries of one passage each: vectors around some centres, words with the frequencies of a natural language."""

    def __init__(self, count: int) -> None:
        source = np.random.default_rng(7)
        centres = source.standard_normal((CENTRES, SHAPE.dimensions))
        noise = source.standard_normal((count, SHAPE.dimensions))
        self.vectors = (centres[source.integers(0, CENTRES, count)] + noise).astype(np.float32)
        self.words = np.minimum(source.zipf(1.3, (count, 40)), 20_000)

    def text(self, number: int, length: int = 40) -> str:
        return " ".join(f"word{word}" for word in self.words[number][:length])

    def entry(self, number: int) -> Entry:
        text = self.text(number)
        passage = Passage(Span(0, len(text)), self.vectors[number], [WeightedText(text)])
        words = {"agent_id": [f"agent{number % 5}"], "kind": ["episodic"], "tags": ["a", "b"]}
        numbers = {"occurred_at": float(number)}
        return Entry(UUID(int=number), number, ItemState(1), namespace(number), [passage], words, numbers)


class Clock:
    """The seconds of the pauses and searches of one phase."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.searches: list[float] = []

    def print(self, phase: str, seconds: float) -> None:
        milliseconds = [1e3 * value for value in (*quantiles(self.searches), max(self.pauses), late(self.pauses))]
        p50, p95, longest, p99 = milliseconds
        print(
            f"{phase:28} {seconds:7.1f} s   searches {len(self.searches):6}: p50 {p50:6.1f} ms  p95 {p95:6.1f} ms"
            f"   loop: longest pause {longest:6.1f} ms  p99 {p99:5.1f} ms",
            flush=True,
        )


class Bench:
    """The index, the ticker and the searches; each phase has its own clock."""

    def __init__(self, index: VectorIndex, points: Points, count: int) -> None:
        self.index, self.points, self.count = index, points, count
        self.clock = Clock()
        self.longest = 0.0

    async def tick(self) -> None:
        while True:
            start = perf_counter()
            await anyio.sleep(0.001)
            self.clock.pauses.append(perf_counter() - start - 0.001)

    async def search(self) -> None:
        """Search as clients do: with a pause between queries, each in one of twenty namespaces."""
        source = np.random.default_rng(1)
        while True:
            number = int(source.integers(0, self.count))
            vector, text = self.points.vectors[number], self.points.text(number, 8)
            start = perf_counter()
            await self.index.search("memory", [IndexQuery(text, vector)], IndexFilter(namespace(number)), 100)
            self.clock.searches.append(perf_counter() - start)
            await anyio.sleep(0.01)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.clock, start = Clock(), perf_counter()
        yield
        self.clock.print(name, perf_counter() - start)
        self.longest = max(self.longest, *self.clock.pauses)

    async def fill(self, target: VectorIndex | Draft) -> None:
        start, sizes = 0, itertools.cycle(BATCHES)
        while start < self.count:
            end = min(start + next(sizes), self.count)
            entries: list[Entry] = []
            for number in range(start, end):
                entries.append(self.points.entry(number))
                if number % 50 == 0:
                    await anyio.lowlevel.checkpoint()  # making the entries is the benchmark's own work, not the index's
            await target.put("memory", entries)
            start = end


async def run(count: int) -> None:
    points = Points(count)
    with tempfile.TemporaryDirectory() as folder:
        index = EdgeIndex(Path(folder), hnsw_threshold=20_000)
        bench = Bench(index, points, count)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.tick)
            await anyio.sleep(0.1)
            with bench.phase("open"):
                await index.open(SHAPE)
                tasks.start_soon(bench.search)
                await anyio.sleep(0.1)
            with bench.phase(f"put {count:,} points"):
                await bench.fill(index)
            with bench.phase("search, no graph"):
                await anyio.sleep(5)
            draft = await index.draft(SHAPE)
            with bench.phase(f"draft of {count:,} points"):
                await bench.fill(draft)
            with bench.phase("build, load and swap"):
                await draft.commit()
            with bench.phase("search, graph"):
                await anyio.sleep(5)
            with bench.phase("read all states"):
                await index.states("memory", ALL_ITEMS)
                await anyio.sleep(0.1)
            print("wants another graph:", await index.wants_graph())
            tasks.cancel_scope.cancel()
        await index.close()
    verdict = "PASS" if bench.longest <= BAR_SECONDS else "FAIL"
    print(f"longest pause of the event loop: {1e3 * bench.longest:.1f} ms; bar {1e3 * BAR_SECONDS:.0f} ms: {verdict}")


def namespace(number: int) -> str:
    return f"namespace{number % NAMESPACES}"


def quantiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return (values or [0.0])[0], (values or [0.0])[0]
    cuts = statistics.quantiles(values, n=20)
    return cuts[9], cuts[18]


def late(pauses: list[float]) -> float:
    return statistics.quantiles(pauses, n=100)[98] if len(pauses) > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=60_000)
    arguments = parser.parse_args()
    print("load before:", os.getloadavg())
    anyio.run(run, arguments.points)
    print("load after:", os.getloadavg())


if __name__ == "__main__":
    main()
