"""Small deterministic entries: a unit vector for each seed, so that an item's own vector finds it first."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np

from memos_mcp.domain.index import (
    ALL_ITEMS,
    Entry,
    IndexFilter,
    IndexQuery,
    ItemKind,
    ItemState,
    Lanes,
    Passage,
    Shape,
    Span,
    Vector,
    VectorIndex,
    WeightedText,
)
from tests.memory_folder import memory_folder

SHAPE = Shape("a-model", 16)
OTHER_SHAPE = Shape("another-model", 24)


@contextmanager
def index_folder() -> Iterator[Path]:
    """Provide a folder for an embedded index, in memory if there is enough."""
    with TemporaryDirectory(dir=memory_folder()) as folder:
        yield Path(folder) / "index"


def item(number: int) -> UUID:
    return UUID(int=number)


def vector(seed: object, dimensions: int = SHAPE.dimensions) -> Vector:
    source = random.Random(str(seed))
    values = [source.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values))
    return np.array(values, np.float32) / length


def entry(
    number: int,
    *texts: str,
    version: int = 1,
    namespace: str = "ours",
    words: Mapping[str, Sequence[str]] | None = None,
    numbers: Mapping[str, float] | None = None,
    dimensions: int = SHAPE.dimensions,
) -> Entry:
    """Return an item whose passage `n` has the vector of `(number, n)`."""
    passages, start = [], 0
    for index, text in enumerate(texts or (f"word{number}",)):
        span = Span(start, start + len(text))
        passages.append(Passage(span, vector((number, index), dimensions), [WeightedText(text)]))
        start = span.end + 1
    return Entry(item(number), number, ItemState(version), namespace, passages, words or {}, numbers or {})


async def versions(index: VectorIndex, kind: ItemKind) -> dict[UUID, int]:
    """Return the version of every item that the index holds."""
    return {item: state.version for item, state in (await index.states(kind, ALL_ITEMS)).items()}


async def search(
    index: VectorIndex, kind: ItemKind, text: str, vector: Vector | None, where: IndexFilter, limit: int
) -> Lanes:
    """Ask a single question."""
    [lanes] = await index.search(kind, [IndexQuery(text, vector)], where, limit)
    return lanes


def dense(lanes: Lanes) -> list[int]:
    return [match.item_id.int for match in lanes.dense]


def bm25(lanes: Lanes) -> list[int]:
    return [match.item_id.int for match in lanes.bm25]
