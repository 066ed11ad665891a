"""Turns rows into index entries: passages that fit the model's window, with vectors that were not computed twice."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from memos_mcp.domain.index import (
    Embedder,
    EmbeddingStore,
    Entry,
    ItemKind,
    Passage,
    Shape,
    Span,
    Vector,
    VectorIndex,
    Wording,
)
from memos_mcp.retrieval.context import leaning

Row = TypeVar("Row")

KEPT_AT_ONCE: Final = 128
"""Vectors after which they are kept: a document that takes longer than an attempt may last is done in several."""


@dataclass(frozen=True, slots=True)
class Projection(Generic[Row]):
    """How the rows of a kind become entries; `current` and `versions` leave out what the index should not hold.

    text: what is embedded, cut into passages.  wording: by what words a passage of it is found.
    neighbours: the texts nearby that have a part in its passages, which is also how those are embedded.
    """

    current: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Row]]]
    versions: Callable[[], Awaitable[Mapping[UUID, int]]]
    text: Callable[[Row], str]
    wording: Callable[[Row, str], str]
    neighbours: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Sequence[Wording]]]]
    entry: Callable[[Row, Sequence[Passage]], Entry]


@dataclass(frozen=True, slots=True)
class _Nearby:
    """A neighbour as a passage takes it in: its words, and the vectors of its passages."""

    wording: Wording
    pieces: Sequence[str]


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
        rows = await projection.current(ids)
        texts = [projection.text(row) for row in rows.values()]
        spans = await self._embedder.split(texts)
        pieces = _pieces(texts, spans)
        nearby = await self._nearby(await projection.neighbours(list(rows)))
        taken = (piece for others in nearby.values() for other in others for piece in other.pieces)
        vectors = await self._vectors([*(piece for parts in pieces for piece in parts), *taken])
        return [
            projection.entry(
                row,
                [
                    _passage(span, piece, projection.wording(row, piece), nearby.get(item, ()), vectors)
                    for span, piece in zip(places, parts, strict=True)
                ],
            )
            for (item, row), places, parts in zip(rows.items(), spans, pieces, strict=True)
        ]

    async def _nearby(self, neighbours: Mapping[UUID, Sequence[Wording]]) -> dict[UUID, list[_Nearby]]:
        """Cut neighbours as their own entries are cut, so that their vectors are not computed for this."""
        texts = list({one.text: None for others in neighbours.values() for one in others})
        pieces = dict(zip(texts, _pieces(texts, await self._embedder.split(texts)), strict=True))
        return {item: [_Nearby(one, pieces[one.text]) for one in others] for item, others in neighbours.items()}

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


def _pieces(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[list[str]]:
    return [[text[span.start : span.end] for span in parts] for text, parts in zip(texts, spans, strict=True)]


def _passage(span: Span, piece: str, wording: str, nearby: Sequence[_Nearby], vectors: Mapping[str, Vector]) -> Passage:
    """Make a passage of a piece, of the words by which it is found, and of what is nearby."""
    others = [(vectors[part], other.wording.weight / len(other.pieces)) for other in nearby for part in other.pieces]
    return Passage(span, leaning(vectors[piece], others), [Wording(wording), *(other.wording for other in nearby)])


async def differences(index: VectorIndex, projector: Projector, kind: ItemKind) -> list[UUID]:
    """Return the items whose points and row differ, in either direction."""
    held, truth = await index.versions(kind), await projector.versions(kind)
    return [item for item in held.keys() | truth.keys() if held.get(item) != truth.get(item)]
