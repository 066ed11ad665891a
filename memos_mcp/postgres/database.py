"""The way to the database: opens on first use, heals by itself."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import anyio

from memos_mcp.domain.errors import MemosError, StoreUnavailable
from memos_mcp.postgres.connection import (
    CONNECT_SECONDS,
    UNAVAILABLE,
    Connection,
    Contended,
    Lost,
    Pool,
    connect,
    discard,
    open_pool,
    translated,
)
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations

POOL_SIZE: Final = 10
RETRY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 5.0
ROLLBACK_SECONDS: Final = 3.0
ATTEMPTS: Final = 5

_VERSION: Final = "SHOW server_version"

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class Server(Protocol):
    """A Postgres server that somebody has to start."""

    async def start(self) -> str:
        """Make sure that it runs; return its address."""
        ...

    async def stop(self) -> None:
        """Stop it, unless others still use it."""
        ...


class Database:
    """Connections to Postgres, migrated to the shape that this program expects.

    Making one does no I/O. Whatever is missing (the server, the pool, migrations) is brought about by the next use;
    when that fails, uses in the following second fail at once, and then one tries again.
    """

    def __init__(self, source: str | Server) -> None:
        self._source = source
        self._opening = anyio.Lock()
        self._sound = False
        self._dsn: str | None = None
        self._pool: Pool | None = None
        self._failure: MemosError | None = None
        self._failed_at = 0.0
        self._listening: list[Connection] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; every failure of the driver inside becomes `StoreUnavailable`."""
        pool, connection = await self._acquire()
        try:
            with translated():
                yield connection
        except Lost:
            self._sound = False
            discard(connection)
            raise
        finally:
            with translated():
                await pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, which an exception rolls back, and a cancellation too."""
        async with self.connection() as connection:
            try:
                await connection.execute("BEGIN")
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            await connection.execute("COMMIT")

    async def listener(self) -> Connection:
        """Open a connection for listening that belongs to the caller; what is still open is closed with the rest."""
        await self._open()
        assert self._dsn is not None  # noqa: S101 - _open() has set it, or raised
        connection = await connect(self._dsn)
        self._listening = [other for other in self._listening if not other.is_closed()]
        self._listening.append(connection)
        return connection

    async def server_version(self) -> str:
        """Return the server's version, for example "18.1"."""
        async with self.connection() as connection:
            return str(await connection.fetchval(_VERSION))

    async def close(self) -> None:
        """Close all connections, and stop the server if this was its last user. The next use would open again."""
        self._sound = False
        pool, self._pool = self._pool, None
        listening, self._listening = self._listening, []
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            for connection in listening:
                await connection.close(timeout=CLOSE_SECONDS)
            if pool is not None:
                await pool.close()
                pool = None
        if pool is not None:
            pool.terminate()
        if not isinstance(self._source, str):
            await self._source.stop()

    async def _acquire(self) -> tuple[Pool, Connection]:
        pool = await self._open()
        try:
            return pool, await _acquired(pool)
        except Lost:
            self._sound = False
        # Nothing was sent yet, and an embedded server may only need to be started again.
        pool = await self._open()
        return pool, await _acquired(pool)

    async def _open(self) -> Pool:
        if self._sound and self._pool is not None:
            return self._pool
        async with self._opening:
            if self._sound and self._pool is not None:
                return self._pool
            if self._failure is not None and time.monotonic() - self._failed_at < RETRY_SECONDS:
                raise type(self._failure)(*self._failure.args)
            try:
                pool = await self._connected()
            except MemosError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            self._sound, self._failure = True, None
            return pool

    async def _connected(self) -> Pool:
        with translated():
            dsn = self._source if isinstance(self._source, str) else await self._source.start()
        connection = await connect(dsn, command_timeout=None)
        try:
            with translated():
                await migrate(connection, read_migrations(migrations_folder()))
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close(timeout=CONNECT_SECONDS)
        if self._pool is None or dsn != self._dsn:
            stale, self._pool, self._dsn = self._pool, await open_pool(dsn, POOL_SIZE), dsn
            if stale is not None:
                stale.terminate()
        return self._pool


def repeated(
    write: Callable[_Arguments, Coroutine[Any, Any, _Answer]],
) -> Callable[_Arguments, Coroutine[Any, Any, _Answer]]:
    """Make this a write that is done again when it had to give way to another; it has changed nothing then.

    It must take its connection, or transaction, anew each time. After `ATTEMPTS` of them it raises `StoreUnavailable`.
    """

    @wraps(write)
    async def repeat(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        for _ in range(ATTEMPTS):
            with suppress(Contended):
                return await write(*args, **kwargs)
        raise StoreUnavailable(UNAVAILABLE)

    return repeat


async def _roll_back(connection: Connection) -> None:
    """Undo before the caller goes on, cancelled or not: the pool complains of a transaction that it has to end itself.

    Raises nothing, so that the caller is told what came first: a connection on which this fails, or takes too long, is
    broken off, which undoes as well.
    """
    with anyio.move_on_after(ROLLBACK_SECONDS, shield=True), suppress(Exception):
        await connection.execute("ROLLBACK")
        return
    discard(connection)


async def _acquired(pool: Pool) -> Connection:
    with translated():
        return await pool.acquire(timeout=CONNECT_SECONDS)
