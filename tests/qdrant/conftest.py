"""The index in each of its forms; a real server joins in when `MEMOS_TEST_QDRANT_URL` names one."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_samples import SHAPE

from memos_mcp.domain.index import VectorIndex
from memos_mcp.qdrant.edge import EdgeIndex
from memos_mcp.qdrant.server import ServerIndex

THRESHOLD = 100
FORMS = ["edge", "local", *(["server"] if "MEMOS_TEST_QDRANT_URL" in os.environ else [])]


@pytest.fixture(params=FORMS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorIndex]:
    async for opened in _open(request.param, tmp_path):
        yield opened


async def _open(form: str, folder: Path) -> AsyncIterator[VectorIndex]:
    prefix = f"test-{uuid4().hex[:8]}"
    client = None
    held: VectorIndex
    if form == "edge":
        held = EdgeIndex(folder, THRESHOLD)
    else:
        client = AsyncQdrantClient(
            **({"location": ":memory:"} if form == "local" else {"url": os.environ["MEMOS_TEST_QDRANT_URL"]})
        )
        held = ServerIndex("", None, prefix, client)
    await held.open(SHAPE)
    try:
        yield held
    finally:
        await held.close()
        if client is not None:
            for collection in (await client.get_collections()).collections:
                if collection.name.startswith(prefix):
                    await client.delete_collection(collection.name)
            await client.close()
