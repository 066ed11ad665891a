"""The engines that run on the database, in Postgres."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from memos_mcp.domain.engines import ENGINE_EXPIRES, BuildProgress, RunningEngine
from memos_mcp.domain.index import IndexReport, Shape
from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database

# Engines may delete the same expired rows at once: none waits for another, so that they cannot deadlock.
_REFRESH: Final = """
    WITH expired AS (
        DELETE FROM engines
         WHERE id IN (
            SELECT id FROM engines WHERE seen_at < now() - $6::interval AND id <> $1 FOR UPDATE SKIP LOCKED
         )
    )
    INSERT INTO engines (id, name, version, started_at, report)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), report = excluded.report
"""
_RUNNING: Final = """
    SELECT name, version, started_at, seen_at, report
      FROM engines
     WHERE seen_at >= now() - $1::interval
     ORDER BY seen_at DESC
"""
_REMOVE: Final = "DELETE FROM engines WHERE id = $1"


class PostgresEngines:
    """The `EngineRegistry` port."""

    def __init__(self, database: Database, name: str, version: str, started_at: datetime) -> None:
        self._database = database
        self._engine = (uuid4(), name, version, started_at)
        self._recorded = False

    async def refresh(
        self, report: IndexReport | None, building: BuildProgress | None = None, *, exclusive: bool
    ) -> None:
        self._recorded = True
        fields = None if report is None else _fields(report, building) | {"exclusive": exclusive}
        async with self._database.everything.connection() as connection:
            await connection.execute(_REFRESH, *self._engine, fields, ENGINE_EXPIRES)

    async def running(self) -> list[RunningEngine]:
        async with self._database.everything.connection() as connection:
            return [_engine(row) for row in await connection.fetch(_RUNNING, ENGINE_EXPIRES)]

    async def remove(self) -> None:
        if self._recorded:
            async with self._database.everything.connection() as connection:
                await connection.execute(_REMOVE, self._engine[0])


def _engine(row: Row) -> RunningEngine:
    fields = row["report"]
    about = (row["name"], row["version"], row["started_at"], row["seen_at"])
    if fields is None:
        return RunningEngine(*about, exclusive=False, index=None)
    building = None if fields["building"] is None else BuildProgress(**fields["building"])
    return RunningEngine(*about, fields["exclusive"], _report(fields), building)


def _fields(report: IndexReport, building: BuildProgress | None) -> dict[str, Any]:
    return {
        "generation": report.generation,
        "model": report.shape.model,
        "dimensions": report.shape.dimensions,
        "items": dict(report.items),
        "points": dict(report.points),
        "building": None if building is None else asdict(building),
    }


def _report(fields: dict[str, Any]) -> IndexReport:
    shape = Shape(fields["model"], fields["dimensions"])
    return IndexReport(fields["generation"], shape, fields["items"], fields["points"])
