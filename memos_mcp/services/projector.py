"""Makes the entries of rows, with their vectors, computing no vector twice."""

import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import anyio.lowlevel

from memos_mcp.domain.embedding_store import EmbeddingStore, text_digest
from memos_mcp.domain.index import Embedder, Entry, ItemKind, Passage, Shape, Span, Vector, WeightedText
from memos_mcp.domain.index_rows import Context, IndexedRows, Neighbour
from memos_mcp.retrieval.context import MAX_CHARS, blend, weigh_neighbours
from memos_mcp.services.embedding_budget import EmbeddingBudget
from memos_mcp.services.embedding_claims import compute_once, writes
from memos_mcp.services.projections import Projection

YIELD_AFTER: Final = 32
"""Entries that are made without a break."""


class _Part(NamedTuple):
    """A part of a text that fits the model's window."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class ReadItems:
    """Rows of one kind, and what their entries are made of: their texts, neighbours, and the parts of all texts."""

    kind: ItemKind
    rows: Mapping[UUID, Any]
    texts: Mapping[UUID, str]
    contexts: Mapping[UUID, Context]
    weighed: Mapping[UUID, Sequence[WeightedText]]
    cut: Mapping[str, Sequence[_Part]]


class Projector:
    """Reads rows and returns the entries that the index should hold; computes no vector twice.

    shared: other engines may embed the same texts at the same time.
    """

    def __init__(
        self,
        embedder: Embedder,
        embeddings: EmbeddingStore,
        projections: Mapping[ItemKind, Projection[Any]],
        *,
        shared: bool,
    ) -> None:
        self._embedder = embedder
        self._embeddings = embeddings
        self._projections = projections
        self._shared = shared

    @property
    def model(self) -> str:
        """The name of the model that embeds."""
        return self._embedder.model

    async def shape(self) -> Shape:
        """Return the shape of the index that entries are made for, loading the model if need be."""
        return await self._embedder.shape()

    def rows(self, kind: ItemKind) -> IndexedRows:
        """Return the rows of this kind, to be compared with the index."""
        return self._projections[kind].rows

    async def digests(self, texts: Sequence[str]) -> set[bytes]:
        """Return the digests by which the vectors of these embedding texts are stored."""
        cut = await self._cut(texts)
        return {text_digest(text) for parts in cut.values() for text in (part.text for part in parts)}

    async def entries(self, kind: ItemKind, ids: Sequence[UUID]) -> list[Entry]:
        """Return the entries of those items that the index should hold."""
        return await self.complete(await self.read(kind, ids))

    async def complete_charged(self, items: ReadItems, budget: EmbeddingBudget) -> list[Entry]:
        """Return the entries of these items, and charge the time of their inference to their namespaces.

        Texts of neighbours are not charged: each is embedded as an item of its own, or was before.
        """
        seconds = dict[str, float]()
        entries = await self.complete(items, seconds)
        owners = {part.text: row.namespace for item, row in items.rows.items() for part in items.cut[items.texts[item]]}
        used = dict[str, float]()
        for text, own in seconds.items():
            if text in owners:
                used[owners[text]] = used.get(owners[text], 0.0) + own
        await budget.charge(used)
        return entries

    async def read(self, kind: ItemKind, ids: Sequence[UUID]) -> ReadItems:
        """Read those items that the index should hold, and cut their texts, without computing anything."""
        projection = self._projections[kind]
        rows = await projection.store.current(ids)
        texts = {item: projection.embedding_text(row) for item, row in rows.items()}
        contexts = await projection.rows.contexts(list(rows), MAX_CHARS)
        weighed = {item: _weighed(context.neighbours) for item, context in contexts.items()}
        # Neighbours are cut as their own entries are cut, so that their vectors exist already.
        shared = (one.text for neighbours in weighed.values() for one in neighbours)
        return ReadItems(kind, rows, texts, contexts, weighed, await self._cut([*texts.values(), *shared]))

    async def complete(self, items: ReadItems, seconds: MutableMapping[str, float] | None = None) -> list[Entry]:
        """Return the entries of these items, with their vectors. `seconds` receives what each text took to embed."""
        projection, cut = self._projections[items.kind], items.cut
        vectors = await self._vectors([part.text for parts in cut.values() for part in parts], seconds)
        entries: list[Entry] = []
        for item, row in items.rows.items():
            if len(entries) % YIELD_AFTER == 0:  # a batch of 1,024 takes some 40 ms: calls, and the index, would wait
                await anyio.lowlevel.checkpoint()
            passages = [
                _passage(part, projection.lexical_text(row, part.text), items.weighed.get(item, ()), cut, vectors)
                for part in cut[items.texts[item]]
            ]
            context = items.contexts.get(item)
            entries.append(projection.entry(row, None if context is None else context.digest, passages))
        return entries

    async def _cut(self, texts: Iterable[str]) -> dict[str, list[_Part]]:
        """Return the parts of each distinct text that fit the model's window."""
        distinct = list(dict.fromkeys(texts))
        spans = await self._embedder.split(distinct)
        return {
            text: [_Part(span, text[span.start : span.end]) for span in own]
            for text, own in zip(distinct, spans, strict=True)
        }

    async def _vectors(self, texts: Sequence[str], seconds: MutableMapping[str, float] | None) -> dict[str, Vector]:
        model = self._embedder.model
        by_digest = {text_digest(text): text for text in texts}
        known = await self._embeddings.get(model, list(by_digest))

        async def compute(digests: Sequence[bytes]) -> dict[bytes, Vector]:
            chosen, began = [by_digest[digest] for digest in digests], time.monotonic()
            vectors = await self._embedder.passages(chosen)
            if seconds is not None:
                seconds.update(_by_length(chosen, time.monotonic() - began))
            computed = dict(zip(digests, vectors, strict=True))
            await self._embeddings.add(model, computed)
            return computed

        # By length, so that the embedder still finds texts of similar length to batch.
        missing = sorted((digest for digest in by_digest if digest not in known), key=lambda one: len(by_digest[one]))
        if missing and self._shared:
            known |= await compute_once(self._embeddings, model, missing, compute)
        else:
            for write in writes(missing):
                known |= await compute(write)
        return {text: known[digest] for digest, text in by_digest.items()}


def _by_length(texts: Sequence[str], seconds: float) -> dict[str, float]:
    """Return the part that each text has in the time of an inference."""
    total = sum(map(len, texts))
    return {text: seconds * len(text) / max(total, 1) for text in texts}


def _weighed(neighbours: Sequence[Neighbour]) -> list[WeightedText]:
    return weigh_neighbours(
        [one.content for one in reversed(neighbours) if one.offset < 0],
        [one.content for one in neighbours if one.offset > 0],
    )


def _passage(
    part: _Part,
    lexical_text: str,
    context: Sequence[WeightedText],
    cut: Mapping[str, Sequence[_Part]],
    vectors: Mapping[str, Vector],
) -> Passage:
    others = [(vectors[other.text], one.weight / len(cut[one.text])) for one in context for other in cut[one.text]]
    return Passage(part.span, blend(vectors[part.text], others), [WeightedText(lexical_text), *context])
