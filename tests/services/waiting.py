"""Waiting for the indexer."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from memos_mcp.app import App


async def caught_up(app: App) -> None:
    """Wait until everything that was written is in the index, or has failed alone; the indexer notices it in time."""
    with anyio.fail_after(30):
        while True:
            await app.indexer.wait_until_idle()
            state = await app.queue.state()
            indexed = not (app.indexer.behind or any(state.depth.values()))
            if app.indexer.idle and (state.last_error or indexed):
                return


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until this is true, for at most half a minute."""
    with anyio.fail_after(30):
        while not await condition():
            await anyio.lowlevel.checkpoint()
