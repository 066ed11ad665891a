"""Measures how many passages a second are indexed when their vectors are known, so without any inference.

    python benchmarks/indexing.py --sizes 10000 200000 [--against CHECKOUT] [--keep FOLDER]

The texts are those of `latency_texts.py`, as memories without a session and as messages in sessions of 20, which are
indexed with their neighbours. Random unit vectors are stored for them beforehand, and the memories without an indexer.
Then each run starts the app on an empty index folder, with the embedded Postgres and the index process, and measures
from the moment at which everything is queued until everything is indexed. The graph is built afterwards.

`--against` interleaves the runs with those of another version, on its own home with the same memories; the bar is a
rate of four times the other's. With several sizes, the rate of the largest is compared with that of the smallest: the
bar is 0.8.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
from figures import verdict
from latency_homes import ROOT, Version, store_random_vectors, version
from latency_texts import generated
from line_client import environment

import memos_mcp
from memos_mcp.app import assemble, running
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.settings import Settings

BATCH = 1_000
GOAL_AGAINST = 4.0
GOAL_LARGE = 0.8
SCOPE = Scope("default", "default")

Lines = list[dict[str, Any]]


def main() -> None:
    arguments = _arguments()
    if arguments.store is not None:
        anyio.run(_store, arguments.store)
    elif arguments.index:
        anyio.run(_index)
    else:
        measure(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000], help="numbers of memories")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each version")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--only", choices=("plain", "sessions"), help="one of the two kinds of memories")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and reuse existing ones")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--index", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> None:
    """Measure each kind of memories in each size, and print the rates and their ratios."""
    versions = [version("this version", ROOT)]
    if arguments.against is not None:
        versions.append(version("the other version", arguments.against))
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        for kind in ("plain", "sessions") if arguments.only is None else (arguments.only,):
            rates = dict[int, float]()
            for size in sorted(arguments.sizes):
                lines = list(generated(size, arguments.seed))
                for line in lines if kind == "plain" else ():
                    del line["session_id"]
                homes = (arguments.keep or Path(folder)) / f"{kind}-{size}"
                rates[size] = compare(kind, lines, versions, homes, arguments)
            if len(rates) > 1:
                smallest, largest = min(rates), max(rates)
                ratio = rates[largest] / rates[smallest]
                bar = f"{kind}: {largest:,} at least {GOAL_LARGE:g} of the rate of {smallest:,}: {ratio:.2f}"
                print(verdict(bar, met=ratio >= GOAL_LARGE), flush=True)


def compare(kind: str, lines: Lines, versions: Sequence[Version], folder: Path, arguments: argparse.Namespace) -> float:
    """Run the versions one after the other, print their rates, and return this version's median."""
    homes = {each: folder / each.name.replace(" ", "-") for each in versions}
    for each, home in homes.items():
        prepare(each, home, lines, arguments.seed)
    rates: dict[Version, list[float]] = {each: [] for each in versions}
    for _ in range(arguments.rounds):
        for each, home in homes.items():
            shutil.rmtree(home / "index", ignore_errors=True)
            found = json.loads(_run(each, home, "--index"))
            rates[each].append(found["passages"] / found["seconds"])
    for each, measured in rates.items():
        shown = ", ".join(f"{rate:,.0f}" for rate in measured)
        print(f"{kind:9} {len(lines):9,} memories  {each.name:18} {shown} passages a second", flush=True)
    ours, *others = (statistics.median(measured) for measured in rates.values())
    for other in others:
        bar = f"{kind}, {len(lines):,}: at least {GOAL_AGAINST:g} times the other version: {ours / other:.2f}"
        print(verdict(bar, met=ours / other >= GOAL_AGAINST), flush=True)
    return ours


def prepare(each: Version, home: Path, lines: Lines, seed: int) -> None:
    """Store the vectors and the memories, unless the home is there already."""
    if home.exists():
        return
    home.mkdir(parents=True)
    anyio.run(store_random_vectors, each, home, [line["content"] for line in lines], seed)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        _run(each, home, "--store", file.name)


def _run(each: Version, home: Path, *arguments: str) -> str:
    """Run this program with the package of a version; return what it prints."""
    found = Path(each.variables["PYTHONPATH"])
    paths = os.pathsep.join([str(found), str(Path(__file__).parent)])
    settings: Mapping[str, str] = {**environment(home), **each.variables, "PYTHONPATH": paths}
    command = [each.command[0], __file__, *arguments]
    printed = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True).stdout
    package, _, rest = printed.partition("\n")
    if not Path(package).is_relative_to(found):
        raise SystemExit(f"{found} ran {package}")
    return rest


async def _store(path: Path) -> None:
    """Store the memories of a file; nothing indexes them."""
    print(memos_mcp.__file__)
    app = assemble(Settings())
    batch = list[NewMemory]()
    try:
        with path.open() as file:
            for line in file:
                fields = json.loads(line)
                fields["occurred_at"] = datetime.fromisoformat(fields["occurred_at"])
                batch.append(NewMemory(**fields))
                if len(batch) == BATCH:
                    await app.memories.store_many(SCOPE, batch)
                    batch = []
        await app.memories.store_many(SCOPE, batch)
    finally:
        await app.close()


async def _index() -> None:
    """Index everything and print the number of passages and the seconds, from when everything was queued."""
    print(memos_mcp.__file__)
    async with running(assemble(Settings())) as app:
        await app.indexer.wait_until_opened()
        began = time.perf_counter()
        await app.indexer.wait_until_idle()
        seconds = time.perf_counter() - began
        report = await app.index.report()
    print(json.dumps({"passages": report.points["memory"], "seconds": seconds}))


if __name__ == "__main__":
    main()
