"""Lends connections for writes that add rows, and refuses what exceeds the quota of the namespace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from memos_mcp.domain.quotas import Amounts, Quotas, check_growth
from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database

MAX_COUNTED: Final = 10_000

_LOCK: Final = "SELECT memories, bytes, tools FROM lock_stored_amounts($1)"


class Growth:
    """Writes that add rows. Where amounts are limited, those of a namespace wait for one another.

    A deletion locks rows before the amounts, and a write the other way round. Postgres ends such a deadlock, and the
    caller repeats what it has ended: see `retried`.
    """

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._counted = set[str]()

    @asynccontextmanager
    async def transaction(self, namespace: str) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction; raise `QuotaExceeded`, and roll back, if too much was added in it."""
        quota, access = await self._quotas.of(namespace), self._database.within(namespace)
        if not quota.limits_amounts:
            async with access.transaction() as connection:
                yield connection
            return
        await self._count(namespace)
        async with access.transaction() as connection:
            before = await _amounts(connection, namespace)
            yield connection
            check_growth(quota, before, await _amounts(connection, namespace))

    @asynccontextmanager
    async def connection(self, namespace: str) -> AsyncIterator[Connection]:
        """Lend one for statements that need not be carried out together: without a limit there is no transaction."""
        if (await self._quotas.of(namespace)).limits_amounts:
            async with self.transaction(namespace) as connection:
                yield connection
        else:
            async with self._database.within(namespace).connection() as connection:
                yield connection

    async def _count(self, namespace: str) -> None:
        """Have the amounts counted, in a transaction that a refusal does not roll back."""
        if namespace in self._counted:
            return
        async with self._database.within(namespace).transaction() as connection:
            await _amounts(connection, namespace)
        if len(self._counted) >= MAX_COUNTED:
            self._counted.clear()
        self._counted.add(namespace)


async def _amounts(connection: Connection, namespace: str) -> Amounts:
    row = await connection.fetchrow(_LOCK, namespace)
    assert row is not None  # noqa: S101 - the function returns a row
    return Amounts(row["memories"], row["bytes"], row["tools"])
