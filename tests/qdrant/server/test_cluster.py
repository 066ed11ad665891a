"""A real cluster that loses a node.

MEMOS_TEST_QDRANT_CLUSTER_URLS has the addresses of its three nodes, comma-separated, and MEMOS_TEST_QDRANT_KILL a
command that kills the first of them, such as `docker kill qdrant-1`. The test does not start the node again.
"""

import os
import shlex
from collections.abc import AsyncIterator
from uuid import uuid4

import anyio
import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import ServerOptions
from tests.qdrant.samples import SHAPE, bm25, dense, entry, item, search, vector, versions

URLS = os.environ.get("MEMOS_TEST_QDRANT_CLUSTER_URLS", "")
KILL = os.environ.get("MEMOS_TEST_QDRANT_KILL", "")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (URLS and KILL), reason="needs MEMOS_TEST_QDRANT_CLUSTER_URLS (three nodes) and MEMOS_TEST_QDRANT_KILL"
    ),
]

OURS = IndexFilter("ours")


@pytest.fixture
async def index() -> AsyncIterator[ServerIndex]:
    prefix = f"test-{uuid4().hex[:8]}"
    index = ServerIndex(URLS, None, prefix, options=ServerOptions(shards=6, replicas=2, write_consistency=1))
    await index.open(SHAPE)
    yield index
    await index.close()
    client = AsyncQdrantClient(url=URLS.split(",")[-1].strip())
    for collection in (await client.get_collections()).collections:
        if collection.name.startswith(prefix):
            await client.delete_collection(collection.name)
    await client.close()


async def test_searches_and_writes_continue_while_one_of_three_nodes_is_down(index: ServerIndex) -> None:
    await index.put("memory", [entry(n, f"word{n}") for n in range(100)])
    assert (await index.report()).mismatches == []

    await anyio.run_process(shlex.split(KILL))

    for number in range(100):
        lanes = await search(index, "memory", f"word{number}", vector((number, 0)), OURS, 5)
        assert dense(lanes)[0] == bm25(lanes)[0] == number
    await index.put("memory", [entry(n, f"word{n}", version=2) for n in range(200)])
    await index.drop("memory", [item(0)])
    assert await versions(index, "memory") == {item(n): 2 for n in range(1, 200)}
    await index.open(SHAPE)
    lanes = await search(index, "memory", "word150", vector((150, 0)), OURS, 5)
    assert dense(lanes)[0] == bm25(lanes)[0] == 150
