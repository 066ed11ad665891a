"""Measures queries over stdio on small and large memories, interleaved with the bare embedder; prints times and ratios.

    python benchmarks/latency.py --sizes 1000 10000 100000 [--against CHECKOUT] [--data FOLDER]

The texts are conversations from a seeded generator (`latency_texts.py`), in sessions of 20 messages; with `--data`, the
messages and questions of the datasets in a folder (`quality/datasets.py` describes the format). They are imported into
a home for each size, and the rate is printed beside the bare embedder's on some of the same passages. Then, for each
question, the product's embedder embeds it once in this process, uncached, and the server answers a `ping`, `tools/list`
and the question. The server adds what the query takes beyond the embedding and the ping together.

`--against` interleaves the queries with those of another version, on its own home with the same memories. The two
alternate in who is asked first; the figure that counts is their ratio. The bar is meant for 10,000 memories; its line
names the number that it was measured with.

`--synthetic-vectors` fills a large memory without inference: random unit vectors are stored for its texts beforehand.
The answers then mean nothing, and a graph of random directions differs from one of texts. Texts that a version embeds
in another form than the stored one still need an inference; these are counted.
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
from latency_homes import ROOT, Loaded, Version, load, served, settle, store_random_vectors, version
from latency_texts import dataset_questions, from_datasets, generated, questions_about
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000], help="numbers of memories")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="use conversations of datasets")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="another checkout, or the Python it is installed in"
    )
    parser.add_argument("--synthetic-vectors", action="store_true", help="random vectors instead of inferences")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and reuse existing ones")
    parser.add_argument("--seed", type=int, default=8)
    return parser.parse_args()


def measure(size: int, versions: Sequence[Version], folder: Path, arguments: argparse.Namespace) -> None:
    """Load a home for each version, then query all of them, interleaved."""
    lines = list(generated(size, arguments.seed) if arguments.data is None else from_datasets(arguments.data, size))
    count = WARM_UP + arguments.questions
    if arguments.data is None:
        questions = questions_about(lines, count, arguments.seed)
    else:
        questions = dataset_questions(arguments.data, count, arguments.seed)
    print(f"{len(lines):,} memories:")
    homes = {each: folder / each.name.replace(" ", "-") for each in versions}
    loaded = {each: fill(each, home, lines, arguments) for each, home in homes.items()}
    with ExitStack() as stack:
        clients = {each: stack.enter_context(served(each, home)) for each, home in homes.items()}
        for each, home in homes.items():
            settle(clients[each], home)
        anyio.run(ask, clients, folder, lines, loaded, questions)


def fill(target: Version, home: Path, lines: Lines, arguments: argparse.Namespace) -> Loaded:
    """Import the memories; with synthetic vectors, store their vectors before that."""
    home.mkdir(parents=True, exist_ok=True)
    if arguments.synthetic_vectors:
        anyio.run(store_random_vectors, target, home, [line["content"] for line in lines], arguments.seed)
    return load(target, home, lines)


async def ask(
    clients: Mapping[Version, LineClient],
    folder: Path,
    lines: Lines,
    loaded: Mapping[Version, Loaded],
    questions: Sequence[str],
) -> None:
    """Send each question to the embedder and to each version once; the order of the versions alternates."""
    embedder = FastEmbedder(DEFAULT_MODEL, folder)
    await report_loads(embedder, lines, loaded)
    for question in questions[:WARM_UP]:
        for client in clients.values():
            client.call("query_memory", query=question)
    first = next(iter(clients.values()))
    bare, ping, listing, degraded = list[float](), list[float](), list[float](), 0
    queries: dict[Version, list[float]] = {each: [] for each in clients}
    for number, question in enumerate(questions[WARM_UP:]):
        with timed(bare):
            await embedder.query(question)
        with timed(ping):
            first.request("ping")
        with timed(listing):
            first.request("tools/list")
        for each in list(clients)[:: 1 if number % 2 else -1]:
            with timed(queries[each]):
                answer = clients[each].call("query_memory", query=question)
            degraded += answer["degraded"] is not None
    print(f"  {len(bare)} questions over stdio, one at a time, {degraded} answers degraded")
    for name, times in (("bare embedding of the question", bare), ("ping", ping), ("tools/list", listing)):
        print(f"  {row(name, times)}")
    compare(queries, len(lines), percentile(bare, 0.5) + percentile(ping, 0.5))


def compare(queries: Mapping[Version, Sequence[float]], memories: int, bound: float) -> None:
    """Print each version's times, their ratio to the lower bound (embedding and ping), and the ratio of the versions.

    The ratio to the lower bound is no bar: a slower model improves it.
    """
    for each, times in queries.items():
        print(f"  {row(f'query_memory, {each.name}', times)}")
        print(f"  {each.name} takes {percentile(times, 0.5) / bound:.2f} times the bare embedding and a ping, at p50")
    ours, *others = queries.values()
    for times in others:
        at = [percentile(ours, share) / percentile(times, share) for share in (0.5, 0.95)]
        pairs = percentile([own / other for own, other in zip(ours, times, strict=True)], 0.5)
        print(f"  this version takes {at[0]:.2f} times as long as the other at p50, {at[1]:.2f} at p95;")
        print(f"  question by question, which the noise of the machine moves less, {pairs:.2f} times (median)")
        bar = f"p50 with {memories:,} memories <= {GOAL_AGAINST:g} times the other version's"
        print(f"  {verdict(bar, met=at[0] <= GOAL_AGAINST)}")


async def report_loads(embedder: FastEmbedder, lines: Lines, loaded: Mapping[Version, Loaded]) -> None:
    """Print the rate of each import beside that of the embedder alone on a sample of the same passages."""
    sample = [line["content"] for line in random.Random(8).sample(lines, min(SAMPLE, len(lines)))]
    spans = await embedder.split(sample)
    passages = [text[start:end] for text, parts in zip(sample, spans, strict=True) for start, end in parts]
    taken: list[float] = []
    with timed(taken):
        await embedder.passages(passages)
    bare_rate = len(passages) / taken[0] * 1000
    print(f"  the bare embedder, on {len(passages):,} of the passages: {bare_rate:,.1f} passages/s")
    for each, outcome in loaded.items():
        if not outcome.stored_after:
            print(f"  {each.name}: the memories were already there")
            continue
        rate, stored = outcome.passages / outcome.indexed_after, len(lines) / outcome.stored_after
        print(
            f"  {each.name}: stored after {outcome.stored_after:.0f} s ({stored:,.0f} memories/s), indexed after "
            f"{outcome.indexed_after:.0f} s, both from the launch\n"
            f"  {outcome.passages:,} passages, {outcome.computed:,} vectors computed, {rate:,.1f} passages/s: "
            f"{rate / bare_rate:.2f} of the bare embedder's rate"
        )


if __name__ == "__main__":
    main()
