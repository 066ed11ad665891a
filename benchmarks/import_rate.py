"""Measures how many memories a second `memos-as import` stores when their vectors are known, so without any inference.

    python benchmarks/import_rate.py --against CHECKOUT [--size 20000] [--rounds 2]

The texts are those of `latency_texts.py`, in sessions of 20 messages. Each run imports them into a new home, in which
random unit vectors are stored for them beforehand, and measures from the launch until the command reports that all are
stored. They are indexed meanwhile. The runs alternate with those of another version; the bar is 1.1 times its rate.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import anyio
from figures import verdict
from latency_homes import ROOT, Version, load, store_random_vectors, version
from latency_texts import generated

GOAL_AGAINST = 1.1
SEED = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--size", type=int, default=20_000, help="the number of memories")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each version")
    arguments = parser.parse_args()
    versions = [version("this version", ROOT)]
    if arguments.against is not None:
        versions.append(version("the other version", arguments.against))
    rates: dict[Version, list[float]] = {each: [] for each in versions}
    for _ in range(arguments.rounds):
        for each, measured in rates.items():
            with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
                measured.append(stored_a_second(each, Path(folder, "home"), arguments.size))
    for each, measured in rates.items():
        print(f"{each.name:18} {', '.join(f'{rate:,.0f}' for rate in measured)} memories stored a second")
    ours, *others = (statistics.median(measured) for measured in rates.values())
    for other in others:
        bar = f"at least {GOAL_AGAINST:g} times the other version: {ours / other:.2f}"
        print(verdict(bar, met=ours / other >= GOAL_AGAINST))


def stored_a_second(each: Version, home: Path, size: int) -> float:
    """Return how many memories an import into this new home stores a second, from its launch."""
    home.mkdir()
    lines = list(generated(size, SEED))
    try:
        anyio.run(store_random_vectors, each, home, [line["content"] for line in lines], SEED)
        return size / load(each, home, lines).stored_after
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
