"""A full disk under the embedded index is reported as a full disk, and the index works again once there is space."""

from pathlib import Path

import anyio
import pytest

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.edge.launcher import DISK_FULL
from tests.qdrant.samples import SHAPE, entry
from tests.small_disk import MIB, filled, small_disk

pytestmark = pytest.mark.anyio


async def put_until_it_fails(index: EdgeIndex) -> None:
    number = 0
    while True:
        await index.put("memory", [entry(number, f"word{number} " * 1_000)])
        number += 1


@pytest.mark.parametrize("keep", [0, 20 * MIB])
async def test_a_full_disk_is_named_when_the_index_is_opened_and_when_it_is_written(tmp_path: Path, keep: int) -> None:
    with small_disk(tmp_path, 200) as disk:
        index = EdgeIndex(disk / "index", 1_000)
        with filled(disk, keep=keep), pytest.raises(IndexUnavailable) as opening:
            await index.open(SHAPE)
        await index.open(SHAPE)
        with filled(disk), pytest.raises(IndexUnavailable) as writing, anyio.fail_after(20):
            await put_until_it_fails(index)
        await index.open(SHAPE)
        await index.put("memory", [entry(1)])
        await index.close()
    assert [str(opening.value), str(writing.value)] == [DISK_FULL, DISK_FULL]
