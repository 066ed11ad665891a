"""Measures how many of the nearest passages the dense lane finds, on real texts and on random directions.

    python benchmarks/recall.py [--passages 100000] [--questions 500] [--source FOLDER] [--save FILE]

The texts are the distinct lines of Python source trees (by default the packages of this environment): code, comments
and documentation, embedded by the default model. Other lines of the same trees are the questions. The embedded index
builds its graph, and each question is searched as the product searches; its first ten are compared with the ten
nearest by exact scalar products. The bar is a share of 0.97. `--save` keeps the vectors, so that another run needs no
inference. Random directions of the same number follow: they have no near neighbours, so that a graph finds few of them,
and no model produces them.
"""

import argparse
import random
import site
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import UUID

import anyio
import numpy as np
from figures import percentile, verdict
from numpy.typing import NDArray

from memos_mcp.domain.index import (
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
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services.search import candidate_limit
from memos_mcp.settings import DEFAULT_MODEL, Settings

NEAREST: Final = 10
GOAL: Final = 0.97
BATCH: Final = 512
SHORTEST: Final = 24
LONGEST: Final = 300
SEED: Final = 8
OURS: Final = IndexFilter("default")

Vectors = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--source", type=Path, default=Path(site.getsitepackages()[0]), metavar="FOLDER")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the vectors in this file, or use those in it")
    arguments = parser.parse_args()
    count = arguments.passages
    texts = lines(arguments.source, count + arguments.questions)
    vectors = known(arguments.save, texts)
    share = anyio.run(recall, "real texts", texts, vectors, count)
    random_directions = np.random.default_rng(SEED).standard_normal(vectors.shape, np.float32)
    random_directions /= np.linalg.norm(random_directions, axis=1, keepdims=True)
    anyio.run(recall, "random directions", texts, random_directions, count)
    print(verdict(f"recall@{NEAREST} on real texts at least {GOAL:g}: {share:.4f}", met=share >= GOAL))


def lines(folder: Path, count: int) -> list[str]:
    """Return distinct lines of the Python files below a folder, in random order."""
    found = dict[str, None]()
    for path in sorted(folder.rglob("*.py")):
        for line in path.read_text(encoding="utf-8", errors="ignore").splitlines():
            if SHORTEST <= len(text := line.strip()) <= LONGEST:
                found[text] = None
    if len(found) < count:
        raise SystemExit(f"{folder} has {len(found):,} distinct lines, and {count:,} are needed; name a larger one")
    return random.Random(SEED).sample(list(found), count)


def known(file: Path | None, texts: list[str]) -> Vectors:
    """Return the vectors of these texts, from the file if it has as many."""
    if file is not None and file.exists():
        saved: Vectors = np.load(file)
        if len(saved) == len(texts):
            return saved
    began = perf_counter()
    vectors = anyio.run(embedded, texts)
    print(f"{len(texts):,} lines embedded, {len(texts) / (perf_counter() - began):,.0f} a second", flush=True)
    if file is not None:
        np.save(file, vectors)
    return vectors


async def embedded(texts: list[str]) -> Vectors:
    """Embed the texts as passages; a question of the default model is embedded in the same way."""
    embedder = FastEmbedder(DEFAULT_MODEL, Settings().home)
    parts = [await embedder.passages(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    return np.array([vector for part in parts for vector in part], np.float32)


async def recall(name: str, texts: list[str], vectors: Vectors, count: int) -> float:
    """Build a graph of the first `count` vectors, ask for the others, print the figures and return the share found."""
    shape = Shape(DEFAULT_MODEL, vectors.shape[1])
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        index = EdgeIndex(Path(folder), Settings().hnsw_threshold)
        await index.open(shape)
        began = perf_counter()
        await fill(index, texts[:count], vectors)
        await (await index.copy()).commit()
        built = perf_counter() - began
        found, seconds = list[float](), list[float]()
        for question, vector in zip(texts[count:], vectors[count:], strict=True):
            began = perf_counter()
            (lanes,) = await index.search(
                "memory", [IndexQuery(question, vector, DEFAULT_MODEL)], OURS, candidate_limit(NEAREST)
            )
            seconds.append(perf_counter() - began)
            first = {hit.item_id.int for hit in lanes.dense[:NEAREST]}
            exact = np.argpartition(vectors[:count] @ vector, -NEAREST)[-NEAREST:]
            found.append(len(first.intersection(exact.tolist())) / NEAREST)
        await index.close()
    share = sum(found) / len(found)
    times = f"p50 {1e3 * percentile(seconds, 0.5):.1f} ms, p95 {1e3 * percentile(seconds, 0.95):.1f} ms"
    print(f"{count:,} {name}: recall@{NEAREST} {share:.4f}, search {times}, put and built in {built:.0f} s", flush=True)
    return share


async def fill(index: VectorIndex, texts: list[str], vectors: Vectors) -> None:
    """Put all texts as memories of one passage each."""
    for start in range(0, len(texts), BATCH):
        await index.put("memory", [entry(start + n, text, vectors) for n, text in enumerate(texts[start:][:BATCH])])


def entry(number: int, text: str, vectors: Vectors) -> Entry:
    """Return the entry of a text."""
    passage = Passage(Span(0, len(text)), vectors[number], [WeightedText(text)])
    return Entry(UUID(int=number), number, ItemState(1), "default", [passage], {"kind": ["note"]}, {})


if __name__ == "__main__":
    main()
