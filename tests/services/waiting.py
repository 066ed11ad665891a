"""Waiting for the indexer."""

import anyio

from memos_mcp.app import App


async def caught_up(app: App) -> None:
    """Wait until everything that was written is in the index, or has failed alone; the indexer notices it in time."""
    with anyio.fail_after(30):
        while True:
            await app.indexer.wait_until_idle()
            state = await app.queue.state()
            if app.indexer.idle and (state.last_error or not any(state.depth.values())):
                return
