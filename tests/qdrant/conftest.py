"""The index in each of its forms; a real server joins in when `MEMOS_TEST_QDRANT_URL` names one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qdrant_samples import SHAPE

from memos_mcp.domain.index import VectorIndex
from memos_mcp.qdrant.edge import EdgeIndex

THRESHOLD = 100


@pytest.fixture(params=["edge"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorIndex]:
    held = EdgeIndex(tmp_path, THRESHOLD)
    await held.open(SHAPE)
    yield held
    await held.close()
