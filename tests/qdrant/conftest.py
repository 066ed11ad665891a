"""The index under test; a real server joins in when `MEMOS_TEST_QDRANT_URL` names one."""

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp.domain.index import VectorIndex
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import DEFAULT_OPTIONS, ServerOptions
from tests.qdrant.samples import SHAPE, index_folder

SERVER = os.environ.get("MEMOS_TEST_QDRANT_URL")
SERVERS = ("server", "server-int8") if SERVER else ()


@pytest.fixture(params=["edge", "local", *SERVERS])
async def index(request: pytest.FixtureRequest) -> AsyncIterator[VectorIndex]:
    if request.param == "edge":
        with index_folder() as folder:
            embedded = EdgeIndex(folder, hnsw_threshold=100)
            await embedded.open(SHAPE)
            yield embedded
            await embedded.close()
        return
    client = AsyncQdrantClient(":memory:") if request.param == "local" else AsyncQdrantClient(url=SERVER)
    options = ServerOptions(quantization="int8", on_disk=True) if request.param == "server-int8" else DEFAULT_OPTIONS
    remote = ServerIndex("", None, f"test-{uuid4().hex[:8]}", client, options)
    await remote.open(SHAPE)
    yield remote
    await remote.close()
    for collection in (await client.get_collections()).collections:
        if collection.name.startswith(remote._prefix):
            await client.delete_collection(collection.name)
    await client.close()
