"""Turns rows into index entries: passages that fit the model's window, with vectors that were not computed twice."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from memos_mcp.domain.index import Embedder, EmbeddingStore, Entry, ItemKind, Passage, Shape, Vector, VectorIndex

Row = TypeVar("Row")

KEPT_AT_ONCE: Final = 128
"""Vectors after which they are kept: a document that takes longer than an attempt may last is done in several."""


@dataclass(frozen=True, slots=True)
class Projection(Generic[Row]):
    """How the rows of a kind become entries; `current` and `versions` leave out what the index should not hold."""

    current: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Row]]]
    versions: Callable[[], Awaitable[Mapping[UUID, int]]]
    text: Callable[[Row], str]
    entry: Callable[[Row, Sequence[Passage]], Entry]


class Projector:
    """Reads the truth and says what the index should hold of it."""

    def __init__(
        self, embedder: Embedder, embeddings: EmbeddingStore, projections: Mapping[ItemKind, Projection[Any]]
    ) -> None:
        self._embedder = embedder
        self._embeddings = embeddings
        self._projections = projections

    async def shape(self) -> Shape:
        """Return the shape of the index that entries are made for, loading the model if need be."""
        return await self._embedder.shape()

    async def versions(self, kind: ItemKind) -> Mapping[UUID, int]:
        """Return every item of this kind that the index should hold, with its row's version."""
        return await self._projections[kind].versions()

    async def entries(self, kind: ItemKind, ids: Sequence[UUID]) -> list[Entry]:
        """Return the entries of those items that the index should hold."""
        projection = self._projections[kind]
        rows = list((await projection.current(ids)).values())
        texts = [projection.text(row) for row in rows]
        spans = await self._embedder.split(texts)
        pieces = [[text[span.start : span.end] for span in parts] for text, parts in zip(texts, spans, strict=True)]
        vectors = await self._vectors([piece for parts in pieces for piece in parts])
        return [
            projection.entry(row, [Passage(*part, vectors[part[1]]) for part in zip(places, parts, strict=True)])
            for row, places, parts in zip(rows, spans, pieces, strict=True)
        ]

    async def _vectors(self, texts: Sequence[str]) -> dict[str, Vector]:
        model = self._embedder.model
        hashes = {text: sha256(text.encode()).digest() for text in texts}
        known = await self._embeddings.get(model, list(hashes.values()))
        # By length, so that the embedder still finds texts of similar length to batch.
        missing = sorted((text for text, digest in hashes.items() if digest not in known), key=len)
        for start in range(0, len(missing), KEPT_AT_ONCE):
            part = missing[start : start + KEPT_AT_ONCE]
            vectors = await self._embedder.passages(part)
            computed = {hashes[text]: vector for text, vector in zip(part, vectors, strict=True)}
            await self._embeddings.add(model, computed)
            known |= computed
        return {text: known[digest] for text, digest in hashes.items()}


async def differences(index: VectorIndex, projector: Projector, kind: ItemKind) -> list[UUID]:
    """Return the items whose points and row differ, in either direction."""
    held, truth = await index.versions(kind), await projector.versions(kind)
    return [item for item in held.keys() | truth.keys() if held.get(item) != truth.get(item)]
