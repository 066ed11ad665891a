"""Reports of the process that holds the index, and requests to it, in Postgres."""

from datetime import datetime
from typing import Any, Final

from memos_mcp.domain.index import IndexReport, Shape
from memos_mcp.postgres.database import Database

_PUBLISH: Final = "UPDATE index_log SET report = $1, published_at = now()"
_PUBLISHED: Final = "SELECT report, published_at FROM index_log WHERE report IS NOT NULL"
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

    async def publish(self, report: IndexReport) -> None:
        fields = {
            "generation": report.generation,
            "model": report.shape.model,
            "dimensions": report.shape.dimensions,
            "items": dict(report.items),
            "points": dict(report.points),
        }
        async with self._database.connection() as connection:
            await connection.execute(_PUBLISH, fields)

    async def published(self) -> tuple[IndexReport, datetime] | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_PUBLISHED)
        return None if row is None else (_report(row["report"]), row["published_at"])

    async def request_rebuild(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_REQUEST)

    async def rebuild_requested(self) -> datetime | None:
        async with self._database.connection() as connection:
            requested: datetime | None = await connection.fetchval(_REQUESTED)
        return requested

    async def rebuild_done(self, requested_at: datetime) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_DONE, requested_at)


def _report(fields: dict[str, Any]) -> IndexReport:
    shape = Shape(fields["model"], fields["dimensions"])
    return IndexReport(fields["generation"], shape, fields["items"], fields["points"])
