"""The store of computed vectors, as the services see it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Protocol

from memos_mcp.domain.index import Vector


def text_digest(text: str) -> bytes:
    """Return the SHA-256 of a text's UTF-8 bytes, by which its vector is stored, and a content is found again."""
    return sha256(text.encode()).digest()


class EmbeddingStore(Protocol):
    """Vectors that were computed before, by model and SHA-256 of the text: no text costs a second inference."""

    async def get(self, model: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]: ...

    async def claim(self, model: str, hashes: Sequence[bytes], lease: timedelta) -> set[bytes]:
        """Claim those that nobody has computed and nobody has claimed within its lease; return them."""

    async def release(self, model: str, hashes: Sequence[bytes]) -> None:
        """Let others claim these, which were claimed and could not be computed."""

    async def add(self, model: str, vectors: Mapping[bytes, Vector]) -> None:
        """Keep new vectors and count them as computed, in one statement."""

    async def computed(self, model: str) -> int:
        """Return how many vectors were ever computed with this model."""
