"""Stores the quotas of single namespaces in Postgres."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Final

from memos_mcp.domain.quotas import LIMITS, Amounts, Quota
from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database, retried

_EVERY: Final = """
    SELECT namespace, memories, bytes, tools, calls_a_minute, concurrent_calls, embedding_seconds
      FROM quotas
     ORDER BY namespace
"""
_SET: Final = """
    INSERT INTO quotas AS old (
        namespace, memories, bytes, tools, calls_a_minute, concurrent_calls, embedding_seconds
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (namespace) DO UPDATE SET
        memories = coalesce(excluded.memories, old.memories), bytes = coalesce(excluded.bytes, old.bytes),
        tools = coalesce(excluded.tools, old.tools),
        calls_a_minute = coalesce(excluded.calls_a_minute, old.calls_a_minute),
        concurrent_calls = coalesce(excluded.concurrent_calls, old.concurrent_calls),
        embedding_seconds = coalesce(excluded.embedding_seconds, old.embedding_seconds)
    RETURNING memories, bytes, tools, calls_a_minute, concurrent_calls, embedding_seconds
"""
# Nothing is written while it is counted, so that no write is missed.
_STOP_WRITERS: Final = """
    SET LOCAL lock_timeout = '2s';
    LOCK TABLE agent_memories, registered_tools IN SHARE ROW EXCLUSIVE MODE
"""
_COUNT: Final = "SELECT FROM lock_stored_amounts($1)"
_FORGET_COUNT: Final = "DELETE FROM stored_amounts WHERE namespace = $1"
_UNSET: Final = "DELETE FROM quotas WHERE namespace = $1 RETURNING namespace"
_AMOUNTS: Final = "SELECT namespace, memories, bytes, tools FROM stored_amounts"


class PostgresQuotas:
    """The `QuotaStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def every(self) -> Mapping[str, Quota]:
        async with self._database.everything.connection() as connection:
            return {row["namespace"]: _quota(row) for row in await connection.fetch(_EVERY)}

    @retried
    async def set(self, namespace: str, quota: Quota) -> Quota:
        async with self._database.everything.transaction() as connection:
            row = await connection.fetchrow(_SET, namespace, *astuple(quota))
            assert row is not None  # noqa: S101 - the statement inserts or updates
            own = _quota(row)
            if own.limits_amounts:
                await connection.execute(_STOP_WRITERS)
                await connection.execute(_FORGET_COUNT, namespace)
                await connection.fetch(_COUNT, namespace)
            return own

    @retried
    async def unset(self, namespace: str) -> bool:
        async with self._database.everything.transaction() as connection:
            await connection.execute(_FORGET_COUNT, namespace)
            return await connection.fetchrow(_UNSET, namespace) is not None

    async def amounts(self) -> Mapping[str, Amounts]:
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(_AMOUNTS)
        return {row["namespace"]: Amounts(row["memories"], row["bytes"], row["tools"]) for row in rows}


def _quota(row: Row) -> Quota:
    return Quota(**{limit: row[limit] for limit in LIMITS})
