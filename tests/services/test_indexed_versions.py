"""Waiting for a version that the index holds."""

from uuid import uuid4

import anyio
import pytest

from memos_mcp.domain.index_queue import Indexed
from memos_mcp.services.indexed_versions import IndexedVersions

pytestmark = pytest.mark.anyio


async def test_a_late_notification_of_an_older_version_changes_nothing() -> None:
    versions, item = IndexedVersions(), uuid4()
    versions.record([Indexed("memory", item, 2)])
    versions.record([Indexed("memory", item, 1)])
    with anyio.fail_after(10):
        await versions.wait("memory", item, 2)


async def test_a_waiter_sleeps_until_its_version_is_there() -> None:
    versions, item = IndexedVersions(), uuid4()
    returned = False

    async def wait() -> None:
        nonlocal returned
        await versions.wait("tool", item, 3)
        returned = True

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            versions.record([Indexed("tool", item, 2), Indexed("memory", item, 3)])
            await anyio.wait_all_tasks_blocked()
            assert not returned
            versions.record([Indexed("tool", item, 3)])
    assert returned
