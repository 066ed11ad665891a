"""Erased memories in Postgres: what remains of them, and how the files are freed of it."""

from typing import Final

from memos_mcp.domain.erasures import Erasures
from memos_mcp.domain.errors import Unavailable
from memos_mcp.postgres.connection import CONNECT_SECONDS, Connection, translated
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
# Segments of the write-ahead log are kept under later names, with their contents, unless recycling is off.
_STOP_RECYCLING: Final = ("ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()")
_RECYCLE: Final = ("ALTER SYSTEM RESET wal_recycle", "SELECT pg_reload_conf()")
_NEXT_SEGMENT: Final = ("SELECT pg_switch_wal()", "CHECKPOINT")
_IS_ONLY_SEGMENT: Final = """
    SELECT bool_and(name = pg_walfile_name(pg_current_wal_insert_lsn()))
      FROM pg_ls_waldir()
     WHERE name ~ '^[0-9A-F]{24}$'
"""
MAX_SEGMENTS: Final = 200
"""More than the bundled server keeps (`max_wal_size`), so that only other writers can use them up."""

LOG_IN_USE: Final = (
    "The tables were rewritten, but the server's log could not be emptied while others write so much. "
    "Repeat it when they pause: memos-as purge"
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
                for statement in _REWRITE:
                    await connection.execute(statement)
                if self._database.is_embedded:
                    await _empty_log(connection)
                await connection.execute(_PURGED, began)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
        return self._database.is_embedded


async def _empty_log(connection: Connection) -> None:
    """Leave nothing in the write-ahead log of before; raise `Unavailable` when others write too much meanwhile."""
    try:
        for statement in _STOP_RECYCLING:
            await connection.execute(statement)
        await _leave_segments(connection)
    finally:
        for statement in _RECYCLE:
            await connection.execute(statement)


async def _leave_segments(connection: Connection) -> None:
    """Switch to the next segment until none is before or after it, twice: the last one was then created empty.

    A segment that was recycled before is overwritten by being used, and removed by the checkpoint after it. The setting
    reaches the checkpointer some time after the statement, so how many there are is looked up, and not counted.
    """
    was_only = False
    for _ in range(MAX_SEGMENTS):
        for statement in _NEXT_SEGMENT:
            await connection.execute(statement)
        is_only = await connection.fetchval(_IS_ONLY_SEGMENT)
        if is_only and was_only:
            return
        was_only = is_only
    raise Unavailable(LOG_IN_USE)
