"""Upgrades a data folder of an older PostgreSQL: its server is read into a new folder, and the old one is kept."""

import logging
from functools import partial
from typing import Final

import anyio
from anyio.to_thread import run_sync

from memos_mcp.postgres.connection import connect, translated
from memos_mcp.postgres.embedded.cluster import Cluster
from memos_mcp.postgres.embedded.data_folder import build_next, finish_replacement, major_version
from memos_mcp.postgres.embedded.own_database import DATABASE, has_database
from memos_mcp.postgres.record_loading import load_into
from memos_mcp.postgres.record_snapshot import take_snapshot

logger = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 5.0


async def upgrade(old: Cluster, bundled: int) -> None:
    """Replace the data folder of `old`, a cluster with its own programs, by one of the bundled server.

    No other process may use the folder. Until the new one is complete the old one is in use, whatever happens.
    """
    major = major_version(old.data)
    logger.warning("the data folder of PostgreSQL %s is being upgraded to PostgreSQL %s", major, bundled)
    address = await run_sync(old.start)
    try:
        found = address.format(database=DATABASE) if await has_database(address) else None
        await build_next(old.data, old.extra, partial(_copy, found))
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(old.stop)
    kept = await run_sync(finish_replacement, old.data)
    logger.warning("the data folder is upgraded to PostgreSQL %s; the former one is kept as %s", bundled, kept)


async def _copy(old_url: str | None, new_url: str) -> None:
    if old_url is None:
        return
    old = await connect(old_url, command_timeout=None)
    try:
        with translated():
            async with old.transaction():
                await load_into(new_url, await take_snapshot(old))
    finally:
        with anyio.CancelScope(shield=True):
            await old.close(timeout=CLOSE_SECONDS)
