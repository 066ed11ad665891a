"""The client's local mode; a real server joins in when `MEMOS_TEST_QDRANT_URL` names one."""

from collections.abc import AsyncIterator

import pytest
from qdrant_client import AsyncQdrantClient

from tests.qdrant.conftest import SERVER


@pytest.fixture(params=["local", *(["server"] if SERVER else [])])
async def any_client(request: pytest.FixtureRequest) -> AsyncIterator[AsyncQdrantClient]:
    """A client of either; what a test creates is deleted, because its names begin with `test-`."""
    client = AsyncQdrantClient(":memory:") if request.param == "local" else AsyncQdrantClient(url=SERVER)
    yield client
    for collection in (await client.get_collections()).collections:
        if collection.name.startswith("test-"):
            await client.delete_collection(collection.name)
    await client.close()
