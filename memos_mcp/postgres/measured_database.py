"""A database whose use is measured: how long connections are lent to tool calls, and how busy the pool is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

from memos_mcp.domain.telemetry import PoolState, Telemetry
from memos_mcp.postgres.access import Access, Lender
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database, Server


class _Sizes(Protocol):
    """What asyncpg's pool says of itself."""

    def get_size(self) -> int: ...

    def get_idle_size(self) -> int: ...


class MeasuredAccess(Access):
    """Measures each use from the wait for its connection to the end of it, without a commit that nobody waits for.

    The lender could not do that: it gets a connection back from another task when a transaction only read.
    """

    def __init__(self, lender: Lender, begin: str, telemetry: Telemetry, *, autocommit: bool) -> None:
        super().__init__(lender, begin, autocommit=autocommit)
        self._telemetry = telemetry

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        return self._measured(super().connection())

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        return self._measured(super().reading())

    def lookup(self) -> AbstractAsyncContextManager[Connection]:
        return self._measured(super().lookup())

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        return self._measured(super().transaction())

    @asynccontextmanager
    async def _measured(self, use: AbstractAsyncContextManager[Connection]) -> AsyncIterator[Connection]:
        with self._telemetry.stage("postgres"):
            async with use as connection:
                yield connection


class MeasuredDatabase(Database):
    """Reports to `telemetry`."""

    def __init__(self, source: str | Server, telemetry: Telemetry, *, pool_size: int, **options: Any) -> None:
        self._telemetry = telemetry  # first: the base class makes an access
        self._waits = 0
        super().__init__(source, pool_size=pool_size, **options)
        telemetry.watch_pool(self._pool_state)

    def _access(self, begin: str, *, autocommit: bool) -> Access:
        return MeasuredAccess(self._lender, begin, self._telemetry, autocommit=autocommit)

    async def _acquired(self, acquire: Callable[[], Awaitable[Connection]]) -> Connection:
        state = self._pool_state()
        if state.in_use >= state.limit:
            self._waits += 1
        return await super()._acquired(acquire)

    def _pool_state(self) -> PoolState:
        if self._pool is None:
            return PoolState(0, 0, self._pool_size, self._waits)
        pool = cast("_Sizes", self._pool)
        size = pool.get_size()
        return PoolState(size, size - pool.get_idle_size(), self._pool_size, self._waits)
