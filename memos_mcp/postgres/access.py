"""What a store may do with the connections of a database: all of it, or what belongs to one namespace."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import anyio

from memos_mcp.domain.errors import MemosError
from memos_mcp.postgres.connection import Connection, discard

ROLLBACK_SECONDS: Final = 3.0


class Endings:
    """Ends transactions that wrote nothing, while their callers continue: that saves them a round trip."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, connection: Connection, lent: AsyncExitStack) -> None:
        """Commit, and then return the connection to its lender."""
        ending = asyncio.ensure_future(_end(connection, lent))
        self._running.add(ending)
        ending.add_done_callback(self._running.discard)

    async def wait(self) -> None:
        """Wait until all connections are returned."""
        if self._running:
            await asyncio.wait(self._running)


async def _end(connection: Connection, lent: AsyncExitStack) -> None:
    with suppress(MemosError):  # the lender has logged it and discarded the connection; nothing is lost
        async with lent:
            await connection.execute("COMMIT")


@dataclass(frozen=True, slots=True)
class Lender:
    """Lends connections, each to one user at a time, and translates the driver's errors.

    lend: one of the pool. lend_for_lookup: the one that plans a statement once, or one of the pool while it is in use.
    """

    lend: Callable[[], AbstractAsyncContextManager[Connection]]
    lend_for_lookup: Callable[[], AbstractAsyncContextManager[Connection]]
    endings: Endings


class Access:
    """The ways to use a connection. The driver's errors become `StoreUnavailable`, or `Invalid` for a value.

    begin: the statements that begin a transaction. autocommit: whether statements outside `transaction` need none.
    """

    def __init__(self, lender: Lender, begin: str, *, autocommit: bool) -> None:
        self._lender = lender
        self._begin = begin
        self._autocommit = autocommit

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for statements that need not be carried out together."""
        return self._lender.lend() if self._autocommit else self.transaction()

    def reading(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for statements that write nothing, so that nobody has to wait for a commit."""
        lent = self._lender.lend()
        return lent if self._autocommit else self._within_reading_transaction(lent)

    def lookup(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection for reading rows by their ids.

        Unless it is in use, this is one of its own, which plans a statement once. To plan each time, though the ids
        decide alone, took a third of such a call, and the bookkeeping of the pool a quarter.
        """
        lent = self._lender.lend_for_lookup()
        return lent if self._autocommit else self._within_reading_transaction(lent)

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection in a transaction, which an exception or a cancellation rolls back."""
        return self._within_transaction(self._lender.lend())

    @asynccontextmanager
    async def _within_transaction(self, lent: AbstractAsyncContextManager[Connection]) -> AsyncIterator[Connection]:
        async with lent as connection:
            try:
                await connection.execute(self._begin)
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def _within_reading_transaction(
        self, lent: AbstractAsyncContextManager[Connection]
    ) -> AsyncIterator[Connection]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(lent)
            try:
                await connection.execute(self._begin)
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            self._lender.endings.start(connection, stack.pop_all())


@lru_cache(maxsize=1_000)
def begin_within(begin: str, role: str, namespace: str) -> str:
    """Return the statements that begin a transaction of a role that sees the rows of this namespace only.

    They are sent at once, which admits no parameters. Both settings end with the transaction.
    """
    return f"{begin}; SET LOCAL ROLE {_literal(role)}; SET LOCAL memos.namespace = {_literal(namespace)}"


def _literal(text: str) -> str:
    """Return a string constant of SQL in which every character is escaped, so that none can end it."""
    return "U&'" + "".join(f"\\+{ord(character):06x}" for character in text) + "'"


async def _roll_back(connection: Connection) -> None:
    """Roll back before the caller continues, even if it is cancelled: the pool warns about open transactions.

    Raises nothing, so that the original exception propagates. If the rollback fails or takes too long, the connection
    is discarded, which rolls back as well.
    """
    with anyio.move_on_after(ROLLBACK_SECONDS, shield=True), suppress(Exception):
        await connection.execute("ROLLBACK")
        return
    discard(connection)
