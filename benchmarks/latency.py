"""Asks questions of small and large memories over stdio, in turn with the bare embedder; prints times and ratios.

    python benchmarks/latency.py --sizes 1000 10000 100000 [--against CHECKOUT] [--data FOLDER]

The texts are conversations made by a seeded generator (`latency_texts.py`), in sessions of 20 turns; with `--data`, the
turns of the sets in a folder (`quality/sets.py` has the form), and their questions. They are imported into a home for
each size; the rate of that stands beside the bare embedder's on some of the same passages. Then each question is
embedded once by the product's embedder in this process, uncached, a `ping` is answered, then `tools/list`, then the
question: what the server adds is what is above the first two together. `--against` does the same with another version,
on a home of its own with the same memories, in turns with this one, each first in every other turn: what counts is
the ratio of the two. The bar is meant for 10,000 memories; its line names the number that it was measured with.

`--synthetic-vectors` fills a large memory without inference: random unit vectors are kept for its texts beforehand. The
answers then mean nothing, and a graph of random directions is another one than that of texts. What a version embeds in
another form than the text as it is, is computed all the same, and counted.
"""

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
from figures import percentile, row, timed, verdict
from latency_homes import ROOT, Loaded, Version, keep_random_vectors, load, served, settle, version
from latency_texts import asked_about, made, real, really_asked
from line_client import LineClient

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.settings import DEFAULT_MODEL

WARM_UP = 20
SAMPLE = 400
GOAL_AGAINST = 1.25

Lines = list[dict[str, Any]]


def main() -> None:
    arguments = _arguments()
    versions = [version("this version", ROOT)]
    if arguments.against is not None:
        versions.append(version("the other version", arguments.against))
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        for size in arguments.sizes:
            measure(size, versions, (arguments.keep or Path(folder)) / str(size), arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000], help="how many memories")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="real conversations instead of made ones")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="another checkout, or the Python it is installed in"
    )
    parser.add_argument("--synthetic-vectors", action="store_true", help="random vectors instead of inferences")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and use those that are there")
    parser.add_argument("--seed", type=int, default=8)
    return parser.parse_args()


def measure(size: int, versions: Sequence[Version], folder: Path, arguments: argparse.Namespace) -> None:
    """Load a home for each version, then ask all of them in turns."""
    lines = list(made(size, arguments.seed) if arguments.data is None else real(arguments.data, size))
    count = WARM_UP + arguments.questions
    if arguments.data is None:
        asked = asked_about(lines, count, arguments.seed)
    else:
        asked = really_asked(arguments.data, count, arguments.seed)
    print(f"{len(lines):,} memories:")
    homes = {one: folder / one.name.replace(" ", "-") for one in versions}
    loaded = {one: fill(one, home, lines, arguments) for one, home in homes.items()}
    with ExitStack() as stack:
        clients = {one: stack.enter_context(served(one, home)) for one, home in homes.items()}
        for one, home in homes.items():
            settle(clients[one], home)
        anyio.run(ask, clients, folder, lines, loaded, asked)


def fill(one: Version, home: Path, lines: Lines, arguments: argparse.Namespace) -> Loaded:
    """Import the memories; with synthetic vectors, their vectors are there before."""
    home.mkdir(parents=True, exist_ok=True)
    if arguments.synthetic_vectors:
        anyio.run(keep_random_vectors, one, home, [line["content"] for line in lines], arguments.seed)
    return load(one, home, lines)


async def ask(
    clients: Mapping[Version, LineClient],
    folder: Path,
    lines: Lines,
    loaded: Mapping[Version, Loaded],
    asked: Sequence[str],
) -> None:
    """Ask each question once of the embedder and of each version, whose order changes with every question."""
    embedder = FastEmbedder(DEFAULT_MODEL, folder)
    await report_loads(embedder, lines, loaded)
    for question in asked[:WARM_UP]:
        for client in clients.values():
            client.call("query_memory", query=question)
    first = next(iter(clients.values()))
    bare, ping, listing, degraded = list[float](), list[float](), list[float](), 0
    queries: dict[Version, list[float]] = {one: [] for one in clients}
    for number, question in enumerate(asked[WARM_UP:]):
        with timed(bare):
            await embedder.query(question)
        with timed(ping):
            first.request("ping")
        with timed(listing):
            first.request("tools/list")
        for one in list(clients)[:: 1 if number % 2 else -1]:
            with timed(queries[one]):
                answer = clients[one].call("query_memory", query=question)
            degraded += answer["degraded"] is not None
    print(f"  {len(bare)} questions over stdio, one at a time, {degraded} answers degraded")
    for name, times in (("bare embedding of the question", bare), ("ping", ping), ("tools/list", listing)):
        print(f"  {row(name, times)}")
    compare(queries, len(lines), percentile(bare, 0.5) + percentile(ping, 0.5))


def compare(queries: Mapping[Version, Sequence[float]], memories: int, least: float) -> None:
    """Print each version's times, their ratio to the least (embedding and ping), and how this one stands to the other.

    The ratio to the least is a figure and no bar: the slower the model, the better it looks.
    """
    for one, times in queries.items():
        print(f"  {row(f'query_memory, {one.name}', times)}")
        print(f"  {one.name} takes {percentile(times, 0.5) / least:.2f} times the bare embedding and a ping, at p50")
    ours, *others = queries.values()
    for times in others:
        at = [percentile(ours, share) / percentile(times, share) for share in (0.5, 0.95)]
        pairs = percentile([one / other for one, other in zip(ours, times, strict=True)], 0.5)
        print(f"  this version takes {at[0]:.2f} times as long as the other at p50, {at[1]:.2f} at p95;")
        print(f"  question by question, which the noise of the machine moves less, {pairs:.2f} times (median)")
        bar = f"p50 with {memories:,} memories <= {GOAL_AGAINST:g} times what the other takes"
        print(f"  {verdict(bar, met=at[0] <= GOAL_AGAINST)}")


async def report_loads(embedder: FastEmbedder, lines: Lines, loaded: Mapping[Version, Loaded]) -> None:
    """Print how fast each import was beside the embedder alone, on a sample of the same passages."""
    sample = [line["content"] for line in random.Random(8).sample(lines, min(SAMPLE, len(lines)))]
    spans = await embedder.split(sample)
    passages = [text[start:end] for text, parts in zip(sample, spans, strict=True) for start, end in parts]
    taken: list[float] = []
    with timed(taken):
        await embedder.passages(passages)
    bare_rate = len(passages) / taken[0] * 1000
    print(f"  the bare embedder, on {len(passages):,} of the passages: {bare_rate:,.1f} passages/s")
    for one, took in loaded.items():
        if not took.stored_after:
            print(f"  {one.name}: they were there already")
            continue
        rate, stored = took.passages / took.indexed_after, len(lines) / took.stored_after
        print(
            f"  {one.name}: stored after {took.stored_after:.0f} s ({stored:,.0f} memories/s), indexed after "
            f"{took.indexed_after:.0f} s, both from the launch\n"
            f"  {took.passages:,} passages, {took.computed:,} vectors computed, {rate:,.1f} passages/s: "
            f"{rate / bare_rate:.2f} of the bare embedder's rate"
        )


if __name__ == "__main__":
    main()
