"""Finds what is stored already and says nearly the same as a new memory."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import anyio

from memos_mcp.domain.embedding_store import EmbeddingStore, text_digest
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.index import IndexQuery, Match, Vector, VectorIndex
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryStore, SimilarMemory
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.services.projections import memory_filter

IS_SIMILAR: Final = 0.9
"""The cosine of two contents from which the older one is named: 9 of 12 statements that were corrected or reworded
reach it, none of 12 pairs of other statements about the same thing, and 3.6 % of the messages of LongMemEval, whose
nearest others say nearly the same (`benchmarks/near_duplicates.py`, all-MiniLM-L6-v2)."""

SHOWN: Final = 3
CANDIDATES: Final = 8
"""Read for the three that are shown: in a session, the index holds vectors that are blended with the neighbours'."""

INDEX_ERROR: Final = 0.01
"""By which a cosine of the index may differ from that of the stored vectors."""

SECONDS: Final = 0.5
"""A store is acknowledged without this answer rather than late."""


class NearDuplicates:
    """Compares the vectors of contents, which are stored beside the record."""

    def __init__(
        self,
        store: MemoryStore,
        index: VectorIndex,
        embeddings: EmbeddingStore,
        model: str,
        telemetry: Telemetry = NO_TELEMETRY,
    ) -> None:
        self._store = store
        self._index = index
        self._embeddings = embeddings
        self._model = model
        self._telemetry = telemetry

    async def of(self, namespace: str, memory_id: UUID, content: str, now: datetime) -> list[SimilarMemory]:
        """Return up to three live memories with nearly this content, nearest first; none if that cannot be found out.

        A content of several passages has no vector of its own, so nothing is compared with it.
        """
        try:
            with anyio.move_on_after(SECONDS):
                return await self._nearest(namespace, memory_id, content, now)
        except Unavailable:
            return []
        return []

    async def _nearest(self, namespace: str, memory_id: UUID, content: str, now: datetime) -> list[SimilarMemory]:
        own = (await self._vectors([content])).get(content)
        if own is None:
            return []
        where = memory_filter(namespace, MemoryFilter(), now)
        with self._telemetry.stage("search"):
            (lanes,) = await self._index.search("memory", [IndexQuery("", own, self._model)], where, CANDIDATES)
        ids = [match.item_id for match in lanes.dense if _may_be_similar(match) and match.item_id != memory_id]
        if not ids:
            return []
        rows = await self._store.get(namespace, ids, MemoryFilter(), now)
        others = {row.content: row for row in rows.values() if row.content != content}
        return _similar(own, await self._vectors(list(others)), others)

    async def _vectors(self, contents: list[str]) -> dict[str, Vector]:
        by_hash = {text_digest(content): content for content in contents}
        known = await self._embeddings.get(self._model, list(by_hash)) if contents else {}
        return {by_hash[key]: vector for key, vector in known.items()}


def _may_be_similar(match: Match) -> bool:
    """Whether the contents may be similar: the vector of a part of a group is blended with those of its neighbours."""
    return match.group is not None or match.score >= IS_SIMILAR - INDEX_ERROR


def _similar(own: Vector, vectors: Mapping[str, Vector], rows: Mapping[str, Memory]) -> list[SimilarMemory]:
    """Return the similar ones among these contents; vectors have the length 1."""
    similar = [
        SimilarMemory(rows[content].memory_id, content, round(float(own @ vector), 4))
        for content, vector in vectors.items()
    ]
    near = sorted((one for one in similar if one.cosine >= IS_SIMILAR), key=lambda one: -one.cosine)
    return near[:SHOWN]
