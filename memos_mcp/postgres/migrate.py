"""Migrates a database to the schema of this version: plain SQL files, each applied once, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from memos_mcp.domain.errors import MemosError
from memos_mcp.postgres.connection import Connection

_LOCK: Final = 7_305_168_201_844
"""An arbitrary key that only these migrations lock."""

_EXISTS: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_APPLIED: Final = "SELECT name, checksum FROM schema_migrations ORDER BY name"
_SERIALIZE: Final = "SELECT pg_advisory_xact_lock($1)"
_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text PRIMARY KEY,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
_RECORD: Final = "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"


class MigrationDrift(MemosError):
    """The migration files differ from those applied to the database; a person must decide."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration file. The checksum is the SHA-256 of its text, independent of its line endings."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


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
    more when an applied file was edited, or when the database is newer than these files.
    """
    done = []
    async with connection.transaction():  # a transaction pooler may give each statement outside one another session
        applied = await _applied(connection)
    for migration in _missing(migrations, applied):
        async with connection.transaction():
            await connection.execute(_SERIALIZE, _LOCK)
            await connection.execute(_CREATE)
            if migration in _missing(migrations, await _applied(connection)):
                await connection.execute(migration.sql)
                await connection.execute(_RECORD, migration.name, migration.checksum)
                done.append(migration.name)
    return done


async def _applied(connection: Connection) -> dict[str, str]:
    if not await connection.fetchval(_EXISTS):
        return {}
    return {row["name"]: row["checksum"] for row in await connection.fetch(_APPLIED)}


def _missing(migrations: list[Migration], applied: Mapping[str, str]) -> list[Migration]:
    known = {migration.name: migration for migration in migrations}
    for name, checksum in applied.items():
        if name not in known:
            raise MigrationDrift(
                f"The database has the migration {name}, which this version of memos-as does not know: "
                "a newer version has migrated it. Upgrade memos-as, or use another database."
            )
        if known[name].checksum != checksum:
            raise MigrationDrift(
                f"The migration {name} was edited after it was applied to this database. "
                "Restore the file and put the change into a new migration."
            )
    return [migration for migration in migrations if migration.name not in applied]
