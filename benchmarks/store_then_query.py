"""Measures a store and an immediate query for the stored memory over stdio, beside the bare embedding.

    python benchmarks/store_then_query.py [--against CHECKOUT]

The client sends raw lines (`line_client.py`). The bare embedding is the product's embedder in this process, on the same
texts immediately before: one inference for the memory, one for the question. The server is warm; there are 200 tries,
one at a time.

`--against` interleaves the tries with those of another version, on a home of its own; they alternate in who is first.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path

import anyio
from figures import percentile, row, timed, verdict
from latency_homes import ROOT, Version, served, version
from line_client import LineClient

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.settings import DEFAULT_MODEL

WARM_UP = 10
BAR_MILLISECONDS = 250
GOAL_AGAINST = 1.1
"""For a store, which names near-duplicates since the version that this is meant to be compared with."""

LOCATIONS = ("in the attic", "behind the counter", "at the harbour office", "under the stairs", "in the lab's freezer")
THINGS = (
    *("passport", "violin", "camera", "toolbox", "spare tyre", "recipe book", "telescope", "drone", "tent", "globe"),
    *("wedding ring", "chess board", "tax return", "sledge", "lamp", "kayak", "typewriter", "atlas", "kettle", "drill"),
    *("accordion", "ladder", "projector"),
)
PEOPLE = ("Mara", "Jonas", "Priya", "Ines", "Tomasz", "Aiko", "Samuel", "Leila", "Bo", "Carmen")


@dataclass
class Tries:
    """The milliseconds of each store and query, and how many of the memories were indexed, found, and found first."""

    stores: list[float] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)
    indexed: int = 0
    found: int = 0
    first: int = 0

    def add(self, client: LineClient, location: str, thing: str, person: str) -> None:
        """Store a memory and ask for it."""
        with timed(self.stores):
            stored = client.call("store_memory", content=memory(location, thing, person))
        with timed(self.queries):
            answer = client.call("query_memory", query=question(thing, person))
        ids = [hit["memory_id"] for hit in answer["memories"]]
        self.indexed += stored["indexed"]
        self.found += stored["memory_id"] in ids
        self.first += stored["memory_id"] in ids[:1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    arguments = parser.parse_args()
    tries = min(arguments.tries, len(THINGS) * len(PEOPLE) - WARM_UP)
    versions = [version("this version", ROOT)]
    if arguments.against is not None:
        versions.append(version("the other version", arguments.against))
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, ExitStack() as stack:
        homes = {each: Path(folder, str(number)) for number, each in enumerate(versions)}
        clients = {each: stack.enter_context(served(each, home)) for each, home in homes.items()}
        anyio.run(measure, clients, Path(folder), tries)


async def measure(clients: Mapping[Version, LineClient], folder: Path, tries: int) -> None:
    owned = enumerate(islice(product(THINGS, PEOPLE), WARM_UP + tries))
    triples = [(LOCATIONS[number % len(LOCATIONS)], thing, person) for number, (thing, person) in owned]
    for triple in triples[:WARM_UP]:
        for client in clients.values():
            Tries().add(client, *triple)
    embedder = FastEmbedder(DEFAULT_MODEL, folder / "models")
    await embedder.load()
    bare, outcomes = list[float](), {each: Tries() for each in clients}
    for number, triple in enumerate(triples[WARM_UP:]):
        with timed(bare):
            await embedder.passages([memory(*triple)])
            await embedder.query(question(*triple[1:]))
        for each in list(clients)[:: 1 if number % 2 else -1]:
            outcomes[each].add(clients[each], *triple)
    print(f"store, then query at once, over stdio: {tries} tries on {WARM_UP} to {len(triples)} memories")
    print(row("bare embedding of memory and question", bare))
    for each, outcome in outcomes.items():
        report(each, outcome, percentile(bare, 0.5))
    compare(list(outcomes.values()))


def report(each: Version, outcome: Tries, bare: float) -> None:
    both = [store + query for store, query in zip(outcome.stores, outcome.queries, strict=True)]
    print(f"{each.name}: answered as indexed {outcome.indexed}, found {outcome.found}, found first {outcome.first}")
    print(row("store_memory", outcome.stores))
    print(row("query_memory", outcome.queries))
    print(row("store_memory and query_memory", both))
    print(f"{percentile(both, 0.5) / bare:.2f} times the bare embedding at p50")
    print(verdict(f"p95 of both <= {BAR_MILLISECONDS} ms", met=percentile(both, 0.95) <= BAR_MILLISECONDS))


def compare(outcomes: Sequence[Tries]) -> None:
    ours, *others = outcomes
    for other in others:
        ratio = percentile(ours.stores, 0.5) / percentile(other.stores, 0.5)
        pairs = [own / theirs for own, theirs in zip(ours.stores, other.stores, strict=True)]
        print(
            f"a store takes {ratio:.2f} times as long as the other's at p50; pair by pair {percentile(pairs, 0.5):.2f}"
        )
        bar = f"p50 of a store <= {GOAL_AGAINST:g} times the other version's"
        print(verdict(bar, met=ratio <= GOAL_AGAINST))


def memory(location: str, thing: str, person: str) -> str:
    return f"{person} keeps the {thing} {location} since the flat was painted."


def question(thing: str, person: str) -> str:
    return f"Where does {person} keep the {thing}?"


if __name__ == "__main__":
    main()
