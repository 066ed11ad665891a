"""PostgreSQL from a wheel, shared by all processes that use the same folder.

Each process holds a shared lock on a file beside the folder while it uses the server. On exit each process tries to
upgrade its shared lock to an exclusive one; the one that succeeds was the last user and stops Postgres. The kernel
releases the lock of a killed process, so an orphaned server runs only until the next user exits.
"""

import errno
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import IO, Final

import anyio
import anyio.to_thread

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.ipc.file_lock import try_lock
from memos_mcp.postgres.connection import DISK_FULL, UNAVAILABLE
from memos_mcp.postgres.embedded.bundled_programs import bundled_version
from memos_mcp.postgres.embedded.cluster import START_SECONDS, Cluster
from memos_mcp.postgres.embedded.data_folder import Fill, build_next, finish_replacement, major_version
from memos_mcp.postgres.embedded.older_programs import find_programs
from memos_mcp.postgres.embedded.own_database import DATABASE, create_database
from memos_mcp.postgres.embedded.upgrade import upgrade

LOCK_SECONDS: Final = START_SECONDS + 10.0
ALONE_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.02
SPACE_BYTES: Final = 64 * 1024 * 1024
"""A start fails with less: a new cluster takes 40 MB, and each segment of the write-ahead log 16 MB."""

UNUSABLE: Final = (
    "The data folder cannot be created or written. Set MEMOS_HOME to a folder that this user can write to; "
    "the server's log has the path and the cause."
)

IN_USE: Final = (
    "Another process uses the data folder, which only one may do for this. Close its clients and stop its engine "
    "(memos-as stop), then try again; nothing was changed."
)

LINE_BREAK: Final = "The path of the data folder holds a line break. Set MEMOS_HOME to a folder without one."

logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """A server in `folder`, started by its first user process and stopped by the last."""

    def __init__(self, folder: Path, *, settings: str = "", old_programs: Path | None = None) -> None:
        self._cluster = Cluster(folder / "data", settings)
        self._old_programs = old_programs
        self._user_lock = folder.with_name(f"{folder.name}.lock")
        self._start_lock = folder.with_name(f"{folder.name}.start.lock")
        self._shared_lock: IO[bytes] | None = None
        self._alone = False
        self._created = False

    async def start(self) -> str:
        """Start the server if necessary and create the database; return its URL. Raises `StoreUnavailable`.

        A data folder of an older PostgreSQL is upgraded first.
        """
        try:
            await anyio.to_thread.run_sync(self._register)
            async with self._starting():
                await self._prepare_data()
                address = await anyio.to_thread.run_sync(self._cluster.start)
        except OSError as error:
            logger.exception("the embedded PostgreSQL cannot be started")
            raise StoreUnavailable(DISK_FULL if self._lacks_space(error) else UNAVAILABLE) from error
        if not self._created:
            await create_database(address)
            self._created = True
        return address.format(database=DATABASE)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep other processes from using the server; stop it at the end. Raises `StoreUnavailable` if one uses it."""
        await anyio.to_thread.run_sync(partial(self._register, alone=True))
        try:
            yield
        finally:
            await self.stop()

    async def replace(self, fill: Fill) -> Path | None:
        """Replace the data folder by one with a database that `fill` fills; return the name that the former gets.

        No other process may use the server (`alone`). Raises `StoreUnavailable` when that fails; nothing changes then.
        """
        self._created = False
        async with self._starting():
            await anyio.to_thread.run_sync(finish_replacement, self._cluster.data)
            try:
                await build_next(self._cluster.data, self._cluster.extra, fill)
                with anyio.CancelScope(shield=True):  # the next start would do the rest, but name no folder
                    await anyio.to_thread.run_sync(self._cluster.stop)
                    former = await anyio.to_thread.run_sync(finish_replacement, self._cluster.data)
            except OSError as error:
                logger.exception("the data folder cannot be replaced")
                raise StoreUnavailable(DISK_FULL if self._lacks_space(error) else UNAVAILABLE) from error
        return former

    async def stop(self) -> None:
        """Release the server, and stop it if no other process uses it."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stop)

    async def clear_up(self) -> None:
        """Stop a server whose users were all killed; a server in use keeps running."""
        await anyio.to_thread.run_sync(self._clear_up)

    def _register(self, *, alone: bool = False) -> None:
        """Take the lock that says that this process uses the server. alone: no other process may hold it."""
        _check_writable(self._user_lock.parent)
        if self._shared_lock is not None:
            return
        try:
            # A process that is stopping the server holds the lock exclusively until then.
            seconds = ALONE_SECONDS if alone else LOCK_SECONDS
            self._shared_lock, self._alone = _locked(self._user_lock, exclusive=alone, seconds=seconds), alone
        except TimeoutError:
            if alone:
                raise StoreUnavailable(IN_USE) from None
            raise

    @asynccontextmanager
    async def _starting(self) -> AsyncIterator[None]:
        lock = await anyio.to_thread.run_sync(partial(_locked, self._start_lock, exclusive=True, seconds=LOCK_SECONDS))
        with lock:
            yield

    async def _prepare_data(self) -> None:
        """Finish a replacement of the data folder that was interrupted, and upgrade a folder of an older PostgreSQL."""
        data = self._cluster.data
        await anyio.to_thread.run_sync(finish_replacement, data)
        major = major_version(data)
        if major is None or major == (bundled := bundled_version()):
            return
        programs = await anyio.to_thread.run_sync(find_programs, major, bundled, self._old_programs)
        with self._exclusive():
            await upgrade(replace(self._cluster, programs=programs), bundled)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Make sure that no other process uses the server, such as an older version of this package."""
        assert self._shared_lock is not None  # noqa: S101 - _register() has set it
        if not try_lock(self._shared_lock.fileno(), exclusive=True):
            lock, self._shared_lock = self._shared_lock, None
            lock.close()
            raise StoreUnavailable(IN_USE)
        try:
            yield
        finally:
            if not self._alone:
                try_lock(self._shared_lock.fileno(), exclusive=False)

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
            if try_lock(shared_lock.fileno(), exclusive=True):
                try:
                    self._cluster.stop()
                except OSError:
                    logger.exception("the embedded PostgreSQL did not stop and is still running")


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
    while not try_lock(file.fileno(), exclusive=exclusive):
        if time.monotonic() > deadline:
            file.close()
            raise TimeoutError(f"{path.name} is locked by another process")
        time.sleep(POLL_SECONDS)
    return file
