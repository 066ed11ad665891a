"""Fakes of the model, and of an index that is unavailable."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

import numpy as np

from memos_mcp.domain.errors import EmbedderUnavailable, IndexUnavailable
from memos_mcp.domain.index import (
    Draft,
    Embedder,
    Entry,
    IndexFilter,
    IndexQuery,
    IndexReport,
    ItemKind,
    ItemState,
    Lanes,
    SequenceRange,
    Shape,
    Span,
    Vector,
    VectorIndex,
)
from memos_mcp.retrieval.passages import passages


class HashEmbedder:
    """Embeds a text as a deterministic unit vector of hashed words, so that texts with common words are near."""

    def __init__(self, dimensions: int = 64, window: int = 50) -> None:
        self.dimensions = dimensions
        self.window = window
        self.passages_embedded = 0
        self.queries_embedded = 0
        self.unread: frozenset[str] = frozenset()

    @property
    def model(self) -> str:
        return f"hashed-words-{self.dimensions}"

    async def shape(self) -> Shape:
        return Shape(self.model, self.dimensions)

    async def split(self, texts: Sequence[str]) -> list[list[Span]]:
        return [passages(text, [Span(*word.span()) for word in _words(text)], self.window) for text in texts]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.passages_embedded += len(texts)
        return [self._vector(text) for text in texts]

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        self.queries_embedded += len(texts)
        return [self._vector(text) for text in texts]

    async def reads(self, text: str) -> bool:
        return self.unread.isdisjoint(text)

    def _vector(self, text: str) -> Vector:
        vector = np.zeros(self.dimensions, np.float32)
        for word in _words(text):
            digest = blake2b(word.group().lower().encode(), digest_size=8).digest()
            vector[int.from_bytes(digest[:4], "big") % self.dimensions] += 1.0 if digest[4] % 2 else -1.0
        length = np.linalg.norm(vector)
        return vector / length if length else np.eye(1, self.dimensions, dtype=np.float32)[0]


@dataclass
class BrokenEmbedder:
    """An embedder that cannot be loaded while it is broken; once `mended`, it delegates to `inner`."""

    inner: Embedder
    mended: bool = False

    @property
    def model(self) -> str:
        return self.inner.model

    async def shape(self) -> Shape:
        return await self._loaded().shape()

    async def split(self, texts: Sequence[str]) -> list[list[Span]]:
        return await self._loaded().split(texts)

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        return await self._loaded().passages(texts)

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        return await self._loaded().queries(texts)

    async def reads(self, text: str) -> bool:
        return await self._loaded().reads(text)

    def _loaded(self) -> Embedder:
        if not self.mended:
            raise EmbedderUnavailable("The embedding model cannot be loaded.")
        return self.inner


@dataclass
class DownIndex:
    """A real index that cannot be reached while it is `down`."""

    inner: VectorIndex
    down: bool = True

    async def open(self, shape: Shape) -> None:
        await self._up().open(shape)

    @property
    def exclusive(self) -> bool:
        return self.inner.exclusive

    @property
    def outdated(self) -> bool:
        return self.inner.outdated

    @property
    def shape(self) -> Shape | None:
        return self.inner.shape

    @property
    def generation(self) -> str | None:
        return self.inner.generation

    async def wants_graph(self) -> bool:
        return await self._up().wants_graph()

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        await self._up().put(kind, entries)

    async def drop(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None:
        await self._up().drop(kind, item_ids)

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        return await self._up().search(kind, questions, where, limit)

    async def states(self, kind: ItemKind, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        return await self._up().states(kind, of)

    async def count(self, kind: ItemKind, of: SequenceRange) -> int:
        return await self._up().count(kind, of)

    async def draft(self, shape: Shape) -> Draft:
        return await self._up().draft(shape)

    async def copy(self) -> Draft:
        return await self._up().copy()

    async def restore(self) -> None:
        await self._up().restore()

    async def prune(self) -> bool:
        return await self._up().prune()

    async def report(self) -> IndexReport:
        return await self._up().report()

    async def close(self) -> None:
        await self.inner.close()

    def _up(self) -> VectorIndex:
        if self.down:
            raise IndexUnavailable("The vector index cannot be reached.")
        return self.inner


def _words(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"\w+", text))
