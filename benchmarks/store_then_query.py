"""Measures a store and an immediate query for the stored memory over stdio, beside the bare embedding.

The client sends raw lines (`line_client.py`). The bare embedding is the product's embedder in this process, on the same
texts immediately before: one inference for the memory, one for the question. The server is warm; there are 200 tries,
one at a time.
"""

import argparse
import tempfile
from itertools import islice, product
from pathlib import Path

import anyio
from figures import percentile, row, timed
from line_client import LineClient, connected

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.settings import DEFAULT_MODEL

WARM_UP = 10
BAR_MILLISECONDS = 250

LOCATIONS = ("in the attic", "behind the counter", "at the harbour office", "under the stairs", "in the lab's freezer")
THINGS = (
    *("passport", "violin", "camera", "toolbox", "spare tyre", "recipe book", "telescope", "drone", "tent", "globe"),
    *("wedding ring", "chess board", "tax return", "sledge", "lamp", "kayak", "typewriter", "atlas", "kettle", "drill"),
    *("accordion", "ladder", "projector"),
)
PEOPLE = ("Mara", "Jonas", "Priya", "Ines", "Tomasz", "Aiko", "Samuel", "Leila", "Bo", "Carmen")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=200)
    tries = min(parser.parse_args().tries, len(THINGS) * len(PEOPLE) - WARM_UP)
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, connected(Path(folder)) as client:
        anyio.run(measure, client, Path(folder), tries)


async def measure(client: LineClient, home: Path, tries: int) -> None:
    owned = enumerate(islice(product(THINGS, PEOPLE), WARM_UP + tries))
    pairs = [(LOCATIONS[number % len(LOCATIONS)], thing, person) for number, (thing, person) in owned]
    for location, thing, person in pairs[:WARM_UP]:
        client.call("store_memory", content=memory(location, thing, person))
        client.call("query_memory", query=question(thing, person))
    embedder = FastEmbedder(DEFAULT_MODEL, home / "models")
    await embedder.load()
    bare, stores, queries, indexed, found, first = list[float](), list[float](), list[float](), 0, 0, 0
    for location, thing, person in pairs[WARM_UP:]:
        with timed(bare):
            await embedder.passages([memory(location, thing, person)])
            await embedder.query(question(thing, person))
        with timed(stores):
            stored = client.call("store_memory", content=memory(location, thing, person))
        with timed(queries):
            answer = client.call("query_memory", query=question(thing, person))
        ids = [hit["memory_id"] for hit in answer["memories"]]
        indexed += stored["indexed"]
        found += stored["memory_id"] in ids
        first += stored["memory_id"] in ids[:1]
    both = [store + query for store, query in zip(stores, queries, strict=True)]
    print(f"store, then query at once, over stdio: {tries} tries on {WARM_UP} to {len(pairs)} memories")
    print(f"answered as indexed {indexed}, found {found}, found first {first}")
    print(row("bare embedding of memory and question", bare))
    print(row("store_memory", stores))
    print(row("query_memory", queries))
    print(row("store_memory and query_memory", both))
    ratio = percentile(both, 0.5) / percentile(bare, 0.5)
    print(f"{ratio:.2f} times the bare embedding at p50; the goal is p95 <= {BAR_MILLISECONDS} ms")


def memory(location: str, thing: str, person: str) -> str:
    return f"{person} keeps the {thing} {location} since the flat was painted."


def question(thing: str, person: str) -> str:
    return f"Where does {person} keep the {thing}?"


if __name__ == "__main__":
    main()
