"""PostgreSQL from a wheel, shared by all processes that use the same folder.

Each process holds a shared lock on a file beside the folder while it uses the server. On exit each process tries to
upgrade its shared lock to an exclusive one; the one that succeeds was the last user and stops Postgres. The kernel
releases the lock of a killed process, so an orphaned server runs only until the next user exits.
"""

import errno
import logging
import os
import sys
import time
from pathlib import Path
from shutil import disk_usage
from typing import IO, Final

import anyio
import anyio.to_thread

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.connection import DISK_FULL, UNAVAILABLE, connect, translated
from memos_mcp.postgres.embedded.cluster import START_SECONDS, Cluster

LOCK_SECONDS: Final = START_SECONDS + 10.0
POLL_SECONDS: Final = 0.02
DATABASE: Final = "memos"
SPACE_BYTES: Final = 64 * 1024 * 1024
"""A start fails with less: a new cluster takes 40 MB, and each segment of the write-ahead log 16 MB."""

UNUSABLE: Final = (
    "The data folder cannot be created or written. Set MEMOS_HOME to a folder that this user can write to; "
    "the server's log has the path and the cause."
)

LINE_BREAK: Final = "The path of the data folder holds a line break. Set MEMOS_HOME to a folder without one."

logger = logging.getLogger(__name__)

_SERIALIZE: Final = "SELECT pg_advisory_lock(7305168201845)"
_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
_CREATE: Final = """
    CREATE DATABASE memos TEMPLATE template0 ENCODING 'UTF8'
    LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'
"""
"""Postgres' builtin locale: it maps the case of all alphabets, identically on every system."""


class EmbeddedPostgres:
    """A server in `folder`, started by its first user process and stopped by the last.

    Without file locks (Windows) only one process at a time may use a folder.
    """

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        self._cluster = Cluster(folder / "data", settings)
        self._user_lock = folder.with_name(f"{folder.name}.lock")
        self._start_lock = folder.with_name(f"{folder.name}.start.lock")
        self._shared_lock: IO[bytes] | None = None
        self._created = False

    async def start(self) -> str:
        """Start the server if necessary and create the database; return its URL. Raises `StoreUnavailable`."""
        try:
            address = await anyio.to_thread.run_sync(self._start)
        except OSError as error:
            logger.exception("the embedded PostgreSQL cannot be started")
            raise StoreUnavailable(DISK_FULL if self._lacks_space(error) else UNAVAILABLE) from error
        if not self._created:
            await self._create(address.format(database="postgres"))
            self._created = True
        return address.format(database=DATABASE)

    async def stop(self) -> None:
        """Release the server, and stop it if no other process uses it."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stop)

    async def clear_up(self) -> None:
        """Stop a server whose users were all killed; a server in use keeps running."""
        await anyio.to_thread.run_sync(self._clear_up)

    def _start(self) -> str:
        _check_writable(self._user_lock.parent)
        if self._shared_lock is None:
            # A process that is stopping the server holds the lock exclusively until then.
            self._shared_lock = _locked(self._user_lock, exclusive=False, seconds=LOCK_SECONDS)
        with _locked(self._start_lock, exclusive=True, seconds=LOCK_SECONDS):
            return self._cluster.start()

    def _lacks_space(self, error: OSError) -> bool:
        """Whether a start failed for lack of space. Postgres reports that in its log only."""
        return error.errno == errno.ENOSPC or disk_usage(self._user_lock.parent).free < SPACE_BYTES

    def _stop(self) -> None:
        shared_lock, self._shared_lock = self._shared_lock, None
        if shared_lock is not None:
            self._stop_if_last(shared_lock)

    def _clear_up(self) -> None:
        if self._user_lock.exists():
            self._stop_if_last(self._user_lock.open("ab"))

    def _stop_if_last(self, shared_lock: IO[bytes]) -> None:
        with shared_lock:
            if _lock(shared_lock, exclusive=True):
                try:
                    self._cluster.stop()
                except OSError:
                    logger.exception("the embedded PostgreSQL did not stop and is still running")

    async def _create(self, address: str) -> None:
        connection = await connect(address)
        try:
            with translated():
                await connection.execute(_SERIALIZE)
                if not await connection.fetchval(_EXISTS, DATABASE):
                    await connection.execute(_CREATE)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close(timeout=1)


def _check_writable(folder: Path) -> None:
    """Create the folder; raise `StoreUnavailable` if it cannot be used, which a retry cannot fix."""
    if not {"\n", "\r"}.isdisjoint(str(folder)):
        raise StoreUnavailable(LINE_BREAK)  # initdb refuses it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise  # `start` explains it
        logger.error("the data folder %s cannot be used: %s", folder, error.strerror)  # noqa: TRY400  # the message is complete
        raise StoreUnavailable(UNUSABLE) from error


def _locked(path: Path, *, exclusive: bool, seconds: float) -> IO[bytes]:
    """Open and lock a file; closing it unlocks. Raises `TimeoutError` when it is still locked after `seconds`."""
    file = path.open("ab")
    deadline = time.monotonic() + seconds
    while not _lock(file, exclusive=exclusive):
        if time.monotonic() > deadline:
            file.close()
            raise TimeoutError(f"{path.name} is locked by another process")
        time.sleep(POLL_SECONDS)
    return file


def _lock(file: IO[bytes], *, exclusive: bool) -> bool:
    """Lock a file, or change the kind of its lock, without waiting; on failure the file is not locked at all."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
