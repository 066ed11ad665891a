"""Replaces the data folder by another one that is complete, without a moment in which a crash could lose either.

A new folder is built beside the old one. It becomes the next one by being renamed; from then on every start first gives
it the name of the data folder, and the former one a name that says what it is.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import TypeAlias

import anyio
from anyio.to_thread import run_sync

from memos_mcp.postgres.embedded.cluster import Cluster, sync_folder
from memos_mcp.postgres.embedded.own_database import create_database

Fill: TypeAlias = Callable[[str], Awaitable[None]]
"""Fills the empty database at a URL."""


def major_version(data: Path) -> int | None:
    """Return the major version of the PostgreSQL that made a data folder, None when there is no folder yet."""
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise OSError(f"{data / 'PG_VERSION'} holds no version") from error


async def build_next(data: Path, settings: str, fill: Fill) -> None:
    """Build the folder that replaces `data`. Until it is complete, nothing changes."""
    new = Cluster(data.with_name("data.new"), settings)
    await run_sync(_remove, new)
    try:
        address = await run_sync(new.start)
        await fill(await create_database(address))
    except BaseException:
        with anyio.CancelScope(shield=True), suppress(OSError):  # the next attempt removes what remains
            await run_sync(_remove, new)
        raise
    await run_sync(new.stop)
    new.data.rename(_next(data))
    sync_folder(data.parent)


def finish_replacement(data: Path) -> Path | None:
    """Put the next folder, if there is one, under the name `data`; return the name under which the former is kept."""
    following = _next(data)
    if not following.exists():
        return None
    kept = None
    if data.exists():
        Cluster(data).stop()  # the process that built the next folder may have been killed
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = data.with_name(f"data-postgresql-{major_version(data)}-{moment}")
        data.rename(kept)
        sync_folder(data.parent)
    following.rename(data)
    sync_folder(data.parent)
    return kept


def former_folders(folder: Path) -> list[Path]:
    """Return the data folders that were replaced and are kept, oldest first. folder: that of the bundled server."""
    return sorted(folder.glob("data-postgresql-*"), key=lambda path: path.name.rpartition("-")[2])


def _next(data: Path) -> Path:
    return data.with_name("data.next")


def _remove(new: Cluster) -> None:
    """Remove a folder whose building was interrupted."""
    if new.data.exists():
        new.stop()
        rmtree(new.data)
