"""The start of a requested rebuild."""

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.app import App, running
from memos_mcp.services import indexer
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio


async def test_a_rebuild_requested_right_after_another_does_not_wait_for_the_next_poll(
    idle_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "POLL_SECONDS", 60.0)
    async with running(idle_app) as app:
        await caught_up(app)
        for _ in range(2):
            before = (await app.index.report()).generation
            await app.reindex(fresh=True)
            with anyio.fail_after(20):
                while (await app.index.report()).generation == before:
                    await anyio.lowlevel.checkpoint()
