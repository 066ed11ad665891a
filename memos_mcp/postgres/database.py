"""Database access: opens on first use and reconnects by itself."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import wraps
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import anyio

from memos_mcp.domain.errors import MemosError, StoreUnavailable
from memos_mcp.postgres.access import Access, Endings, Lender, begin_within
from memos_mcp.postgres.callers_role import check_login, prepare_role
from memos_mcp.postgres.connection import (
    BEGIN,
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    UNAVAILABLE,
    Connection,
    ConnectionLost,
    Contended,
    Pool,
    SchemaChanged,
    answers,
    connect,
    discard,
    open_pool,
    translated,
)
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from memos_mcp.postgres.watchdog import Watchdog

logger = logging.getLogger(__name__)

POOL_SIZE: Final = 10
RETRY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 5.0
ATTEMPTS: Final = 5

POLLING: Final = (
    "MEMOS_DATABASE_DIRECT_URL is not set, and a transaction pooler passes no notifications on: "
    "what is to be indexed is found by polling."
)

_VERSION: Final = "SHOW server_version"

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class Server(Protocol):
    """A Postgres server that must be started before use."""

    async def start(self) -> str:
        """Start the server if it is not running; return its URL."""

    async def stop(self) -> None:
        """Stop the server unless other processes use it."""


class Database:
    """Connections to Postgres, migrated to the schema of this version.

    The constructor does no I/O. Each use starts the server, opens the pool and applies migrations where that is
    necessary. After a failure, every use within the next second fails immediately with the same error; the first one
    after that tries again.

    With `prepared_statements=False` every use is a transaction, so that it works through a transaction pooler.
    `direct_url` is then the address of the server itself, for the connections that need a session.

    There are no connections but through `within`, for statements that serve a caller, and `everything`. `callers_role`
    is the role as which the former run.
    """

    def __init__(
        self,
        source: str | Server,
        *,
        pool_size: int = POOL_SIZE,
        prepared_statements: bool = True,
        direct_url: str | None = None,
        callers_role: str | None = None,
    ) -> None:
        self.callers_role: Final = callers_role
        self._begin = "BEGIN" if prepared_statements else BEGIN
        self._lender = Lender(self._lent, self._lent_for_lookup, Endings())
        self.everything: Final = self._access(self._begin, autocommit=prepared_statements)
        """Access to the rows of all namespaces, for the engine's own work and the operator's commands."""
        self._source = source
        self._pool_size = pool_size
        self._prepared_statements = prepared_statements
        self._direct_url = direct_url
        self._watchdog = Watchdog(self._probe)
        self._open_lock = anyio.Lock()
        self._lookup_lock = asyncio.Lock()  # another task may release it
        self._lookups: Connection | None = None
        self._healthy = False
        self._dsn: str | None = None
        self._pool: Pool | None = None
        self._failure: MemosError | None = None
        self._failed_at = 0.0
        self._dedicated: list[Connection] = []

    @property
    def is_embedded(self) -> bool:
        """Whether the server is the product's own."""
        return not isinstance(self._source, str)

    @property
    def has_sessions(self) -> bool:
        """Whether a dedicated connection keeps its session, and so can LISTEN."""
        return self._prepared_statements or self._direct_url is not None

    def within(self, namespace: str) -> Access:
        """Return access to the rows of a namespace, for what serves a caller.

        With a role of callers nothing else can be read or written, whatever the statements say. Without one, only the
        conditions of the statements keep the others out.
        """
        if self.callers_role is None:
            return self.everything
        begin = begin_within(self._begin, self.callers_role, namespace)
        return self._access(begin, autocommit=False)

    async def dedicated_connection(self, command_timeout: float | None = COMMAND_SECONDS) -> Connection:
        """Open a connection outside the pool; the caller closes it, or else `close` does."""
        await self._open()
        assert self._dsn is not None  # noqa: S101 - _open() has set it, or raised
        address, sessions = self._direct_url or self._dsn, self.has_sessions
        return self._kept(await connect(address, prepared_statements=sessions, command_timeout=command_timeout))

    async def server_version(self) -> str:
        """Return the server's version, for example "18.1"."""
        async with self.everything.connection() as connection:
            return str(await connection.fetchval(_VERSION))

    async def close(self) -> None:
        """Close all connections and stop the server if this was its last user. The next use opens them again."""
        self._healthy = False
        pool, self._pool = self._pool, None
        dedicated, self._dedicated = self._dedicated, []
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._lender.endings.wait()
            for connection in dedicated:
                await connection.close(timeout=CLOSE_SECONDS)
            if pool is not None:
                await pool.close()
                pool = None
        if pool is not None:
            pool.terminate()
        if not isinstance(self._source, str):
            await self._source.stop()

    def _access(self, begin: str, *, autocommit: bool) -> Access:
        return Access(self._lender, begin, autocommit=autocommit)

    @asynccontextmanager
    async def _lent_for_lookup(self) -> AsyncIterator[Connection]:
        if not self._prepared_statements or self._lookup_lock.locked():
            async with self._lent() as connection:
                yield connection
            return
        async with self._lookup_lock:
            await self._open()
            if self._lookups is None or self._lookups.is_closed():
                self._lookups = await self._acquired(self._connect_for_lookups)
            connection = self._lookups
            with self._watchdog.watch(lambda: discard(connection)), self._used(connection):
                yield connection

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        pool, connection = await self._acquire()
        # COMMIT is watched, too: whether it was carried out is then unknown, but nothing is stored twice.
        with self._watchdog.watch(lambda: discard(connection)):
            try:
                with self._used(connection):
                    yield connection
            finally:
                with translated():
                    await pool.release(connection)

    @contextmanager
    def _used(self, connection: Connection) -> Iterator[None]:
        """Translate the driver's errors. If the connection is lost or the schema another, the next use opens anew."""
        try:
            with translated():
                yield
        except (ConnectionLost, SchemaChanged):
            self._healthy = False
            discard(connection)
            raise

    async def _acquire(self) -> tuple[Pool, Connection]:
        pool = await self._open()
        try:
            return pool, await self._acquired(pool.acquire)
        except ConnectionLost:
            self._healthy = False
        # No statement was sent yet, so trying again is safe; an embedded server may have to be restarted.
        pool = await self._open()
        return pool, await self._acquired(pool.acquire)

    async def _acquired(self, acquire: Callable[[], Awaitable[Connection]]) -> Connection:
        with translated():
            # The pool's own timeout would create a task.
            with anyio.move_on_after(COMMAND_SECONDS) as waiting, self._watchdog.watch(waiting.cancel):
                return await acquire()
            if anyio.current_time() < waiting.deadline:
                raise ConnectionLost(UNAVAILABLE)
            # The server answers, so neither a new pool nor a second wait would help.
            logger.warning("All connections to Postgres are busy; MEMOS_DATABASE_POOL sets how many there are")
            raise StoreUnavailable(UNAVAILABLE)

    async def _connect_for_lookups(self) -> Connection:
        assert self._dsn is not None  # noqa: S101 - _open() has set it, or raised
        return self._kept(await connect(self._dsn, generic_plans=True))

    def _kept(self, connection: Connection) -> Connection:
        """Have `close` close this connection."""
        self._dedicated = [other for other in self._dedicated if not other.is_closed()]
        self._dedicated.append(connection)
        return connection

    async def _probe(self, seconds: float) -> bool:
        """Whether the server answers. If it does not, all uses within the next second fail immediately."""
        address = self._direct_url or self._dsn
        if address is None or await answers(address, seconds):
            return True
        logger.warning("Postgres does not answer; the calls that wait for it are given up")
        self._healthy = False
        self._failure, self._failed_at = ConnectionLost(UNAVAILABLE), time.monotonic()
        return False

    async def _open(self) -> Pool:
        if self._healthy and self._pool is not None:
            return self._pool
        async with self._open_lock:
            if self._healthy and self._pool is not None:
                return self._pool
            if self._failure is not None and time.monotonic() - self._failed_at < RETRY_SECONDS:
                raise type(self._failure)(*self._failure.args)
            try:
                pool = await self._connected()
            except MemosError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            self._healthy, self._failure = True, None
            return pool

    async def _connected(self) -> Pool:
        with translated():
            dsn = self._source if isinstance(self._source, str) else await self._source.start()
        if self._pool is not None and dsn != self._dsn:
            self._pool.terminate()
            self._pool = None
        self._dsn = dsn
        await self._migrate(dsn)
        if self._pool is None:
            self._pool = await open_pool(dsn, self._pool_size, prepared_statements=self._prepared_statements)
            if not self.has_sessions:
                logger.warning(POLLING)
        return self._pool

    async def _migrate(self, dsn: str) -> None:
        connection = await connect(dsn, prepared_statements=self._prepared_statements, command_timeout=None)
        try:
            with translated(), self._watchdog.watch(lambda: discard(connection)):
                await migrate(connection, read_migrations(migrations_folder()))
                await check_login(connection)
                if self.callers_role is not None:
                    await prepare_role(connection, self.callers_role)
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close(timeout=CONNECT_SECONDS)


def retried(
    write: Callable[_Arguments, Coroutine[Any, Any, _Answer]],
) -> Callable[_Arguments, Coroutine[Any, Any, _Answer]]:
    """Retry a write that raises `Contended`, which means that it changed nothing.

    The write must acquire its connection or transaction itself. After `ATTEMPTS` attempts `StoreUnavailable` is raised.
    """

    @wraps(write)
    async def retry(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        for _ in range(ATTEMPTS):
            with suppress(Contended):
                return await write(*args, **kwargs)
        raise StoreUnavailable(UNAVAILABLE)

    return retry
