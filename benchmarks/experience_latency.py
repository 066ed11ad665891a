"""Measures what past tasks cost `discover_tools`: the same questions with and without them, interleaved.

    python benchmarks/experience_latency.py [--tasks 10000] [--tools 1000]

Two homes have the same tools, and one of them past tasks too, each with the outcome of one tool. Texts are generated.
The vectors of the tasks are random, so that no inference is needed: as many of them are found and counted as of real
ones, and the questions are embedded as usual.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import anyio
from figures import percentile, row, timed, verdict
from latency_homes import ROOT, Version, served, settle, store_random_vectors, version
from latency_texts import generated

from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.experience import PostgresExperience

GOAL = 1.3
WARM_UP = 20
BATCH = 500
SEED = 7
SCOPE = Scope("default", "benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--tools", type=int, default=1_000)
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    texts = list(_texts(arguments.tools + arguments.tasks + WARM_UP + arguments.questions))
    descriptions, tasks = texts[: arguments.tools], texts[arguments.tools : arguments.tools + arguments.tasks]
    this = version("this version", ROOT)
    with ExitStack() as stack:
        homes = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memos-bench-"))) for _ in range(2)]
        for home in homes:
            _register(this, home, descriptions)
        anyio.run(store_random_vectors, this, homes[1], tasks, SEED)
        anyio.run(_record, homes[1], tasks, arguments.tools)
        clients = [stack.enter_context(served(this, home)) for home in homes]
        for client, home in zip(clients, homes, strict=True):
            settle(client, home)
        times: tuple[list[float], list[float]] = ([], [])
        for number, question in enumerate(texts[-WARM_UP - arguments.questions :]):
            for which in (0, 1) if number % 2 else (1, 0):
                with timed(times[which]):
                    clients[which].call("discover_tools", query=question)
    without, with_tasks = (values[WARM_UP:] for values in times)
    print(row("discover_tools without past tasks", without))
    print(row(f"with {arguments.tasks:,} past tasks", with_tasks))
    ratio = percentile(with_tasks, 0.5) / percentile(without, 0.5)
    print(verdict(f"p50 with past tasks is {ratio:.2f} x without, at most {GOAL:g} x", met=ratio <= GOAL))


def _texts(count: int) -> Iterator[str]:
    """Return different sentences of generated conversations."""
    seen = dict[str, None]()
    for line in generated(count, SEED):
        seen.setdefault(line["content"])
        if len(seen) == count:
            return iter(seen)
    raise SystemExit(f"the generator has only {len(seen):,} different texts: ask for fewer tasks")


def _register(this: Version, home: Path, descriptions: Sequence[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for number, text in enumerate(descriptions):
            tool = {"tool_id": f"tool-{number}", "name": f"Tool {number}", "description": text}
            file.write(json.dumps({**tool, "endpoint_url": "https://tools.example/x"}) + "\n")
        file.flush()
        this.run(home, "import", file.name)


async def _record(home: Path, tasks: Sequence[str], tools: int) -> None:
    chosen, now = random.Random(SEED), datetime.now(UTC)
    given = [ToolOutcome(f"tool-{chosen.randrange(tools)}", task, chosen.random() < 0.9) for task in tasks]
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        store = PostgresExperience(database)
        for start in range(0, len(given), BATCH):
            await store.add(SCOPE, given[start : start + BATCH], now)
    finally:
        await database.close()


if __name__ == "__main__":
    main()
