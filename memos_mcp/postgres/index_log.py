"""Requests to the process that holds the index, in Postgres."""

from datetime import datetime
from typing import Final

from memos_mcp.postgres.database import Database

# The notification wakes the process that waits for the queue.
_REQUEST: Final = """
    WITH requested AS (UPDATE index_log SET rebuild_requested_at = clock_timestamp() RETURNING id)
    SELECT pg_notify('index_queue', 'rebuild') FROM requested
"""
_REQUESTED: Final = "SELECT rebuild_requested_at FROM index_log"
_DONE: Final = "UPDATE index_log SET rebuild_requested_at = NULL WHERE rebuild_requested_at <= $1"


class PostgresIndexLog:
    """The `IndexLog` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request_rebuild(self) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_REQUEST)

    async def rebuild_requested(self) -> datetime | None:
        async with self._database.everything.connection() as connection:
            requested: datetime | None = await connection.fetchval(_REQUESTED)
        return requested

    async def rebuild_done(self, requested_at: datetime) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_DONE, requested_at)
