"""PostgreSQL from a wheel, in a folder of its own, shared by all processes that use the same folder.

Each process holds a shared lock on a file beside the folder for as long as it uses the server. Who leaves tries to
turn its lock into an exclusive one: who gets it was the last, and stops the server. The kernel drops the lock of a
process that was killed, so a server that it left behind runs only until the next user leaves.
"""

import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import IO, Final

import anyio
import anyio.to_thread

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.connection import UNAVAILABLE, connect, translated
from memos_mcp.postgres.embedded.cluster import START_SECONDS, Cluster

LOCK_SECONDS: Final = START_SECONDS + 10.0
POLL_SECONDS: Final = 0.02
DATABASE: Final = "memos"

UNUSABLE: Final = (
    "The data folder cannot be created or written. Set MEMOS_HOME to a folder that this user may write to; "
    "the server's log names the folder and the cause."
)

logger = logging.getLogger(__name__)

_TAKE_TURNS: Final = "SELECT pg_advisory_lock(7305168201845)"
_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
_CREATE: Final = """
    CREATE DATABASE memos TEMPLATE template0 ENCODING 'UTF8'
    LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'
"""
"""Postgres' own locale: upper and lower case of all alphabets, the same on every system."""


class EmbeddedPostgres:
    """A server in `folder`, started by its first user and stopped by its last.

    Without file locks (Windows) only one process may use a folder at a time.
    """

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        self._cluster = Cluster(folder / "data", settings)
        self._user_lock = folder.with_name(f"{folder.name}.lock")
        self._start_lock = folder.with_name(f"{folder.name}.start.lock")
        self._held: IO[bytes] | None = None
        self._created = False

    async def start(self) -> str:
        """Make sure that the server runs and has our database; return its address."""
        try:
            address = await anyio.to_thread.run_sync(self._start)
        except OSError as error:
            logger.exception("the embedded PostgreSQL cannot be started")
            raise StoreUnavailable(UNAVAILABLE) from error
        if not self._created:
            await self._create(address.format(database="postgres"))
            self._created = True
        return address.format(database=DATABASE)

    async def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stop)

    async def clear_up(self) -> None:
        """Stop a server that was left behind by users who were killed; leave one that somebody uses."""
        await anyio.to_thread.run_sync(self._clear_up)

    def _start(self) -> str:
        _check_writable(self._user_lock.parent)
        if self._held is None:
            # Waits for a stop in progress, which holds the lock exclusively.
            self._held = _locked(self._user_lock, exclusive=False, seconds=LOCK_SECONDS)
        with _locked(self._start_lock, exclusive=True, seconds=LOCK_SECONDS):
            return self._cluster.start()

    def _stop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._stop_if_last(held)

    def _clear_up(self) -> None:
        if self._user_lock.exists():
            self._stop_if_last(self._user_lock.open("ab"))

    def _stop_if_last(self, held: IO[bytes]) -> None:
        with held:
            if _lock(held, exclusive=True):
                try:
                    self._cluster.stop()
                except OSError:
                    logger.exception("the embedded PostgreSQL was left running")

    async def _create(self, address: str) -> None:
        connection = await connect(address)
        try:
            with translated():
                await connection.execute(_TAKE_TURNS)
                if not await connection.fetchval(_EXISTS, DATABASE):
                    await connection.execute(_CREATE)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close(timeout=1)


def _check_writable(folder: Path) -> None:
    """Make the folder; say so plainly when that is not allowed, which no waiting will change."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        logger.error("the data folder %s cannot be used: %s", folder, error.strerror)  # noqa: TRY400  # the message says all
        raise StoreUnavailable(UNUSABLE) from error


def _locked(path: Path, *, exclusive: bool, seconds: float) -> IO[bytes]:
    """Open a file and lock it within this time; closing it unlocks."""
    file = path.open("ab")
    deadline = time.monotonic() + seconds
    while not _lock(file, exclusive=exclusive):
        if time.monotonic() > deadline:
            file.close()
            raise TimeoutError(f"{path.name} is locked by another process")
        time.sleep(POLL_SECONDS)
    return file


def _lock(file: IO[bytes], *, exclusive: bool) -> bool:
    """Lock a file, or turn its lock into this kind, without waiting; whoever fails at that holds nothing."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
