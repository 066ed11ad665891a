"""Migrates a database to the schema of this version: plain SQL files, each applied once, in order.

A file whose first line is `-- additive` only adds to the schema: what an older version reads and writes means what it
meant. The record of the migration keeps this, so that an older version, which does not have the file, knows that it can
work with the newer schema.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from memos_mcp.domain.errors import MemosError
from memos_mcp.postgres.connection import Connection

_LOCK: Final = 7_305_168_201_844
"""An arbitrary key that only these migrations lock."""

_ADDITIVE: Final = re.compile(r"-- additive\b")

_EXISTS: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
# The column is read as JSON because a database that nothing was applied to since may not have it.
_APPLIED: Final = """
    SELECT name, checksum, coalesce((to_jsonb(record) ->> 'additive')::boolean, false) AS additive
      FROM schema_migrations AS record
     ORDER BY name
"""
_SERIALIZE: Final = "SELECT pg_advisory_xact_lock($1)"
# Every statement on a table waits behind the one that waits for its exclusive lock. So a migration waits for an open
# transaction, such as that of `ingest`, for a moment only, and is tried again.
_LIMIT_WAITING: Final = "SET LOCAL lock_timeout = '2s'"
_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text PRIMARY KEY,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
    ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS additive boolean NOT NULL DEFAULT false
"""
_RECORD: Final = "INSERT INTO schema_migrations (name, checksum, additive) VALUES ($1, $2, $3)"

logger = logging.getLogger(__name__)


class MigrationDrift(MemosError):
    """The migration files do not fit those applied to the database; a person must decide."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration file. The checksum is the SHA-256 of its text, independent of its line endings."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def additive(self) -> bool:
        """Whether versions without this file can work with the schema that it makes."""
        return _ADDITIVE.match(self.sql) is not None


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """What the database records of a migration."""

    checksum: str
    additive: bool


def migrations_folder() -> Path:
    """Return the folder of the files: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def read_migrations(folder: Path) -> list[Migration]:
    """Return the migrations in the order in which they apply."""
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))]


async def migrate(connection: Connection, migrations: list[Migration]) -> list[str]:
    """Apply the missing migrations, each in a transaction with its record; return their names.

    Any number of processes may run this at once: a lock serializes them. Raises `MigrationDrift` and applies nothing
    more when an applied file was edited, or when the schema is newer than these files and not only by additive ones.
    Raises `Contended` when another transaction holds a table for longer than two seconds; nothing is half applied.
    """
    done = []
    async with connection.transaction():  # a transaction pooler may give each statement outside one another session
        applied = await _applied(connection)
    _warn_of_newer(migrations, applied)
    for migration in _missing(migrations, applied):
        async with connection.transaction():
            await connection.execute(_SERIALIZE, _LOCK)
            await connection.execute(_LIMIT_WAITING)
            await connection.execute(_CREATE)
            if migration in _missing(migrations, await _applied(connection)):
                await connection.execute(migration.sql)
                await connection.execute(_RECORD, migration.name, migration.checksum, migration.additive)
                done.append(migration.name)
    return done


async def _applied(connection: Connection) -> dict[str, AppliedMigration]:
    if not await connection.fetchval(_EXISTS):
        return {}
    rows = await connection.fetch(_APPLIED)
    return {row["name"]: AppliedMigration(row["checksum"], row["additive"]) for row in rows}


def _missing(migrations: list[Migration], applied: Mapping[str, AppliedMigration]) -> list[Migration]:
    """Return what is to be applied; raise `MigrationDrift` when the database does not fit these files."""
    known = {migration.name: migration for migration in migrations}
    for name, record in applied.items():
        if name in known and known[name].checksum != record.checksum:
            raise MigrationDrift(
                f"The migration {name} was edited after it was applied to this database. "
                "Restore the file and put the change into a new migration."
            )
    missing = [migration for migration in migrations if migration.name not in applied]
    for name, record in applied.items():
        # A newer version has all files of this one. With some of them missing, the histories have forked.
        if name not in known and (missing or not record.additive):
            raise MigrationDrift(
                f"The database has the migration {name}, which this version of memos-as does not know: "
                "a newer version has migrated it. Upgrade memos-as, or use another database."
            )
    return missing


def _warn_of_newer(migrations: list[Migration], applied: Mapping[str, AppliedMigration]) -> None:
    newer = sorted(applied.keys() - {migration.name for migration in migrations})
    if newer and all(applied[name].additive for name in newer):
        logger.warning(
            "A newer version of memos-as has migrated the database (%s). This one can work with it; upgrade it soon.",
            ", ".join(newer),
        )
