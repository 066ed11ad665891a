"""Lets eight clients store at the same time, each through its own bridge, and searches for every memory afterwards.

Before that, one client alone stores as many memories as each of them, on the same warm engine. A memory counts as
found when it is the first answer to its own words. Memories are also counted by listing all of them.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from figures import percentile, row, timed, verdict
from line_client import LineClient, connected
from sample_memories import list_all, memory, not_found_first

WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a run. `alone`, `together`: milliseconds of each write; `search_seconds`: of all queries."""

    acknowledged: int
    listed: int
    duplicates: int
    not_found: list[str]
    not_searchable_at_once: int
    rate: float
    search_seconds: float
    alone: list[float]
    together: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridges", type=int, default=8)
    parser.add_argument("--memories", type=int, default=200, help="of each bridge")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, connected(Path(folder)) as client:
        outcome = run(Path(folder), client, arguments.bridges, arguments.memories)
    if arguments.json:
        print(json.dumps(asdict(outcome)))
    else:
        report(outcome, arguments.bridges, arguments.memories)


def run(home: Path, alone: LineClient, bridges: int, count: int) -> Outcome:
    """Write with one bridge, then with all at once; then search for all memories and list them."""
    before = WARM_UP + count
    numbers = [range(before + index, before + bridges * count, bridges) for index in range(bridges)]
    with ExitStack() as stack:
        clients = [LineClient(home) for _ in range(bridges)]
        for client in clients:
            stack.callback(client.kill)
            client.initialize()
        Writer(alone, range(WARM_UP)).run()
        single = Writer(alone, range(WARM_UP, before))
        single.run()
        writers = [Writer(client, mine) for client, mine in zip(clients, numbers, strict=True)]
        began = time.perf_counter()
        run_together(writers)
        seconds = time.perf_counter() - began
        ids = {content: stored for writer in writers for content, stored in writer.ids.items()}
        missing = not_found_first(alone, ids)
        search_seconds = time.perf_counter() - began - seconds
        contents, _ = list_all(alone)
    wanted = {memory(number) for mine in numbers for number in mine}
    rows = Counter(content for content in contents.values() if content in wanted)
    return Outcome(
        acknowledged=len(ids),
        listed=len(rows),
        duplicates=rows.total() - len(rows),
        not_found=missing,
        not_searchable_at_once=sum(writer.not_searchable for writer in writers),
        rate=len(ids) / seconds,
        search_seconds=search_seconds,
        alone=single.milliseconds,
        together=[milliseconds for writer in writers for milliseconds in writer.milliseconds],
    )


class Writer:
    """One client that stores the memories of its numbers, one at a time."""

    def __init__(self, client: LineClient, numbers: range) -> None:
        self.milliseconds: list[float] = []
        self.ids: dict[str, str] = {}
        self.not_searchable = 0
        self._client = client
        self._numbers = numbers

    def run(self) -> None:
        for number in self._numbers:
            content = memory(number)
            with timed(self.milliseconds):
                stored = self._client.call("store_memory", content=content)
            self.ids[content] = stored["memory_id"]
            self.not_searchable += not stored["indexed"]


def run_together(writers: list[Writer]) -> None:
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report(outcome: Outcome, bridges: int, count: int) -> None:
    asked = bridges * count
    print(f"{bridges} bridges, {count} memories each, at the same time: {outcome.rate:,.0f} memories/s")
    print(f"acknowledged {outcome.acknowledged:,}, listed {outcome.listed:,}, twice {outcome.duplicates}")
    found, at_once = asked - len(outcome.not_found), outcome.acknowledged - outcome.not_searchable_at_once
    print(f"the first answer to their own words {found:,}; asking for all of them took {outcome.search_seconds:.1f} s")
    print(f"searchable when acknowledged {at_once:,}")
    print(row("a write, one bridge alone", outcome.alone))
    print(row(f"a write, {bridges} bridges at once", outcome.together))
    ratio = percentile(outcome.together, 0.95) / percentile(outcome.alone, 0.95)
    print(f"p95 of a write is {ratio:.2f} times that of one bridge alone")
    there = outcome.acknowledged == outcome.listed == asked and not outcome.duplicates and not outcome.not_found
    print(verdict(f"{asked:,} of {asked:,} there and findable", met=there))


if __name__ == "__main__":
    main()
