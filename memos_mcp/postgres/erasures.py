"""Erased memories in Postgres: what remains of them, and how the files are freed of it."""

from typing import Final

from memos_mcp.domain.erasures import Erasures
from memos_mcp.postgres.connection import CONNECT_SECONDS, translated
from memos_mcp.postgres.database import Database

_ERASURES: Final = """
    WITH erased AS (SELECT memory_id, max(at) AS at FROM memory_events WHERE event = 'erased' GROUP BY memory_id)
    SELECT count(*) AS erased,
           count(*) FILTER (WHERE at > coalesce((SELECT purged_at FROM index_log), '-infinity')) AS unpurged,
           count(*) FILTER (
            WHERE EXISTS (SELECT FROM agent_memories WHERE id = memory_id)
               OR EXISTS (SELECT FROM forgotten_memories WHERE id = memory_id)
           ) AS stored
      FROM erased
"""
# A plain VACUUM does not overwrite what it frees, and keeps the words and tags of deleted rows in the GIN indexes.
_REWRITE: Final = (
    "VACUUM (FULL) agent_memories",
    "VACUUM (FULL) forgotten_memories",
    "VACUUM (FULL) memory_events",
    "VACUUM (FULL) past_tasks",
    "VACUUM (FULL) tool_outcomes",
    "VACUUM (FULL) embeddings",
    "VACUUM (FULL) index_queue",
    # The most common values of a column.
    "ANALYZE",
    "VACUUM (FULL) pg_statistic",
)
# Segments of the write-ahead log are kept under new names, with their contents, unless recycling is off.
_EMPTY_LOG: Final = (
    "ALTER SYSTEM SET wal_recycle = off",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
    "ALTER SYSTEM RESET wal_recycle",
    "SELECT pg_reload_conf()",
)
_PURGED: Final = "UPDATE index_log SET purged_at = $1"
_NOW: Final = "SELECT clock_timestamp()"


class PostgresErasures:
    """The `ErasureStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> Erasures:
        async with self._database.everything.connection() as connection:
            row = await connection.fetchrow(_ERASURES)
        return Erasures(**dict(row or {}))

    async def purge(self) -> bool:
        connection = await self._database.dedicated_connection(command_timeout=None)
        try:
            with translated():
                began = await connection.fetchval(_NOW)
                for statement in (*_REWRITE, *(_EMPTY_LOG if self._database.is_embedded else ())):
                    await connection.execute(statement)
                await connection.execute(_PURGED, began)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
        return self._database.is_embedded
