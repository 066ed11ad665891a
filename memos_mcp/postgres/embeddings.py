"""Stores computed vectors in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from memos_mcp.domain.index import Vector
from memos_mcp.postgres.database import Database

_STORED: Final = "<f4"
"""How numpy names the stored format: little-endian 32-bit floats."""

_GET: Final = """
    SELECT content_hash, vector
      FROM embeddings
     WHERE model = $1 AND content_hash = ANY ($2::bytea[]) AND vector IS NOT NULL
"""
# The commit of a claim waits for no disk: a claim that is lost costs one inference.
_CLAIM: Final = """
    INSERT INTO embeddings AS claimed (model, content_hash, claimed_until)
    SELECT $1, content_hash, now() + $3::interval
      FROM set_config('synchronous_commit', 'off', true), unnest($2::bytea[]) AS content_hash
    ON CONFLICT (model, content_hash) DO UPDATE SET claimed_until = excluded.claimed_until
        WHERE claimed.vector IS NULL AND claimed.claimed_until < now()
    RETURNING content_hash
"""
# A locked row has been claimed by another engine meanwhile, or is being filled.
_RELEASE: Final = """
    DELETE FROM embeddings
     WHERE (model, content_hash) IN (
        SELECT model, content_hash
          FROM embeddings
         WHERE model = $1 AND content_hash = ANY ($2::bytea[]) AND vector IS NULL
           FOR UPDATE SKIP LOCKED
     )
"""
_ADD: Final = """
    WITH filled AS (
        INSERT INTO embeddings AS kept (model, content_hash, vector)
        SELECT $1, content_hash, vector FROM unnest($2::bytea[], $3::bytea[]) AS new (content_hash, vector)
        ON CONFLICT (model, content_hash) DO UPDATE SET vector = excluded.vector, claimed_until = NULL
            WHERE kept.vector IS NULL
    )
    INSERT INTO embedding_counts AS counted (model, computed)
    VALUES ($1, cardinality($2::bytea[]))
    ON CONFLICT (model) DO UPDATE SET computed = counted.computed + excluded.computed
"""
_COMPUTED: Final = "SELECT computed FROM embedding_counts WHERE model = $1"


class PostgresEmbeddings:
    """The `EmbeddingStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, model: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        async with self._database.everything.lookup() as connection:
            rows = await connection.fetch(_GET, model, hashes)
        vectors = stored_vectors([row["vector"] for row in rows])
        return {row["content_hash"]: vector for row, vector in zip(rows, vectors, strict=True)}

    async def claim(self, model: str, hashes: Sequence[bytes], lease: timedelta) -> set[bytes]:
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(_CLAIM, model, sorted(hashes), lease)
        return {row["content_hash"] for row in rows}

    async def release(self, model: str, hashes: Sequence[bytes]) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_RELEASE, model, hashes)

    async def add(self, model: str, vectors: Mapping[bytes, Vector]) -> None:
        ordered = sorted(vectors)  # all writers sort, so that they cannot deadlock
        stored = [vectors[key].astype(_STORED, copy=False).tobytes() for key in ordered]
        async with self._database.everything.connection() as connection:
            await connection.execute(_ADD, model, ordered, stored)

    async def computed(self, model: str) -> int:
        async with self._database.everything.connection() as connection:
            return int(await connection.fetchval(_COMPUTED, model) or 0)


def stored_vectors(stored: Sequence[bytes]) -> Vector:
    """Return stored vectors as the rows of a matrix."""
    import numpy as np  # takes a tenth of a second, which no start has to wait for

    numbers = np.frombuffer(b"".join(stored), _STORED).astype(np.float32, copy=False)
    return numbers.reshape(len(stored), -1 if stored else 0)
