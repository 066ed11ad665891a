"""Reads a home's own Postgres: the passages that were embedded, and their vectors."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memos_mcp.domain.tool import ToolFilter
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.services.projections import tool_text
from memos_mcp.settings import DEFAULT_MODEL
from quality.plans import AND

EVERY = 1_000_000
BATCH = 128

MEMORIES = """
    SELECT id::text AS id, content, coalesce(metadata ->> 'doc_id', metadata ->> 'path') AS mark
      FROM agent_memories
     WHERE namespace = $1 AND superseded_by IS NULL
     ORDER BY sequence
"""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Item:
    """A tool or memory: its id in an answer, its mark, and the text that is embedded."""

    id: str
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Passages:
    """The P passages of a namespace, with the mark of each one's item and unit vectors [P, D]."""

    marks: Sequence[str]
    texts: Sequence[str]
    vectors: Matrix


class HomeDatabase:
    """The Postgres of a home. Missing vectors are computed and stored in it."""

    def __init__(self, home: Path, database: Database) -> None:
        self._database = database
        self._embedder = FastEmbedder(DEFAULT_MODEL, home)
        self._embeddings = PostgresEmbeddings(database)

    async def items(self, namespace: str, *, tools: bool) -> list[Item]:
        """Return the live items of a namespace in the order of their creation (tools: by name)."""
        if tools:
            found = await PostgresTools(self._database).by_name(namespace, ToolFilter(), EVERY)
            return [Item(tool.tool_id, tool.tool_id, tool_text(tool)) for tool in found]
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(MEMORIES, namespace)
        marks: dict[str, list[str]] = {}
        for row in rows:
            marks.setdefault(row["content"], []).append(row["mark"])
        return [
            Item(row["id"], AND.join(dict.fromkeys([row["mark"], *marks[row["content"]]])), row["content"])
            for row in rows
        ]

    async def marks(self, namespaces: Sequence[str], *, tools: bool) -> dict[str, str]:
        """Return the mark of each item of some namespaces by its id in an answer."""
        items = [item for name in dict.fromkeys(namespaces) for item in await self.items(name, tools=tools)]
        return {item.id: item.mark for item in items}

    async def passages(self, items: Sequence[Item]) -> Passages:
        """Split the items' texts as the indexer does: a text that exceeds the model's window is several passages."""
        spans = await self._embedder.split([item.text for item in items])
        parts = [
            (item.mark, item.text[start:end])
            for item, item_spans in zip(items, spans, strict=True)
            for start, end in item_spans
        ]
        return Passages(
            [mark for mark, _ in parts],
            [text for _, text in parts],
            await self._vectors([text for _, text in parts]),
        )

    async def question(self, text: str) -> Matrix:
        """Return the unit vector [D] of a question."""
        vector: Matrix = _unit(np.asarray([await self._embedder.query(text)], dtype=np.float32))[0]
        return vector

    async def _vectors(self, texts: Sequence[str]) -> Matrix:
        hashes = [sha256(text.encode()).digest() for text in texts]
        known = await self._embeddings.get(DEFAULT_MODEL, list(set(hashes)))
        missing = {digest: text for digest, text in zip(hashes, texts, strict=True) if digest not in known}
        for start in range(0, len(missing), BATCH):
            part = dict(list(missing.items())[start : start + BATCH])
            computed = dict(zip(part, await self._embedder.passages(list(part.values())), strict=True))
            await self._embeddings.add(DEFAULT_MODEL, computed)
            known |= computed
        return _unit(np.asarray([known[digest] for digest in hashes], dtype=np.float32))


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[HomeDatabase]:
    """Yield the Postgres of a home; it runs as long as a process uses it."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        yield HomeDatabase(home, database)
    finally:
        await database.close()


def _unit(vectors: Matrix) -> Matrix:
    lengths: Matrix = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Matrix = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
