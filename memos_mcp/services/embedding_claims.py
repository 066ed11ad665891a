"""Divides the inference of new texts among the engines of a database, so that each text is computed by one of them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, TypeAlias

import anyio

from memos_mcp.domain.embedding_store import EmbeddingStore
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.index import Vector

EMBEDDINGS_PER_WRITE: Final = 128
"""New vectors that are stored at a time: a text that takes longer than one attempt is embedded over several."""

LEASE: Final = timedelta(seconds=20)
"""The time that one write may take before others compute its texts too. An engine waits no longer than this for one
that crashed, which leaves time to compute them itself before its own claim on the items is lost."""

FIRST_WAIT_SECONDS: Final = 0.02
LAST_WAIT_SECONDS: Final = 0.5

Compute: TypeAlias = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, Vector]]]
"""Computes and stores the vectors of the texts with these digests."""


def writes(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Divide the digests of new texts into those that are stored at a time."""
    for start in range(0, len(digests), EMBEDDINGS_PER_WRITE):
        yield digests[start : start + EMBEDDINGS_PER_WRITE]


async def compute_once(
    embeddings: EmbeddingStore, model: str, digests: Sequence[bytes], compute: Compute
) -> dict[bytes, Vector]:
    """Return the vectors of texts that were not stored: computed here, or by the engine that claimed them before.

    An engine waits only when it holds no claims, so that no two wait for each other.
    """
    found: dict[bytes, Vector] = {}
    missing, seconds = digests, FIRST_WAIT_SECONDS
    while True:
        for write in writes(missing):
            found |= await _compute_claimed(embeddings, model, write, compute)
        if not (missing := [digest for digest in missing if digest not in found]):
            return found
        await anyio.sleep(seconds)
        seconds = min(2 * seconds, LAST_WAIT_SECONDS)
        found |= await embeddings.get(model, missing)
        missing = [digest for digest in missing if digest not in found]


async def _compute_claimed(
    embeddings: EmbeddingStore, model: str, digests: Sequence[bytes], compute: Compute
) -> Mapping[bytes, Vector]:
    claimed = await embeddings.claim(model, digests, LEASE)
    mine = [digest for digest in digests if digest in claimed]
    try:
        return await compute(mine) if mine else {}
    except BaseException:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1), suppress(Unavailable):
            await embeddings.release(model, mine)
        raise
