"""Reads the record in one snapshot, so that it is consistent while others write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memos_mcp.domain.record import RecordOutline, RecordTable, Write
from memos_mcp.postgres.connection import Connection

COUNTS: Final[Mapping[str, str]] = {
    "registered_tools": "SELECT count(*) FROM registered_tools",
    "agent_memories": "SELECT count(*) FROM agent_memories",
    "forgotten_memories": "SELECT count(*) FROM forgotten_memories",
    "memory_events": "SELECT count(*) FROM memory_events",
    "ingested_files": "SELECT count(*) FROM ingested_files",
    "past_tasks": "SELECT count(*) FROM past_tasks",
    "tool_outcomes": "SELECT count(*) FROM tool_outcomes",
    "embeddings": "SELECT count(*) FROM embeddings",
    "embedding_counts": "SELECT count(*) FROM embedding_counts",
    "access_tokens": "SELECT count(*) FROM access_tokens",
    "quotas": "SELECT count(*) FROM quotas",
}
"""The tables of the record, each with the statement that counts its rows. The others describe the index, the processes
that run and the calls that they served: they would be wrong in another home."""

VECTORS: Final = "embeddings"
"""The table that can be computed again from the others, by inference."""

COPY_SECONDS: Final = 7 * 24 * 3_600.0
"""The driver needs a limit; how long a table takes depends on its size only."""

# The transaction may take long, and limits of the server must not end it.
NO_LIMITS: Final = """
    SELECT set_config(name, '0', true)
      FROM pg_settings
     WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_ISOLATE: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_HAS_SCHEMA: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_MIGRATIONS: Final = "SELECT name, checksum FROM schema_migrations ORDER BY name"
_COLUMNS: Final = """
    SELECT wanted.name, array_agg(attname::text ORDER BY attnum) AS columns
      FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, position)
      JOIN pg_attribute ON attrelid = to_regclass(wanted.name)
     WHERE attnum > 0
       AND NOT attisdropped
       AND attgenerated = ''
     GROUP BY position, wanted.name
     ORDER BY position
"""
_SEQUENCES: Final = """
    SELECT sequence::text AS name, pg_sequence_last_value(sequence) AS value
      FROM unnest($1::text[]) AS wanted (name)
      JOIN pg_attribute ON attrelid = to_regclass(wanted.name) AND attnum > 0 AND NOT attisdropped
     CROSS JOIN LATERAL CAST(pg_get_serial_sequence(wanted.name, attname) AS regclass) AS sequence
     WHERE pg_sequence_last_value(sequence) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class RecordSnapshot:
    """The `RecordSource` port on a transaction; valid while that is open."""

    connection: Connection
    outline: RecordOutline

    async def copy_rows(self, table: RecordTable, write: Write) -> None:
        await self.connection.copy_from_table(
            table.name, columns=table.columns, output=write, timeout=COPY_SECONDS, format="text"
        )


async def take_snapshot(connection: Connection, *, vectors: bool = True) -> RecordSnapshot:
    """Make the transaction that has just been begun a snapshot of the record; describe what it holds."""
    await connection.execute(_ISOLATE)
    await connection.execute(NO_LIMITS)
    if not await connection.fetchval(_HAS_SCHEMA):
        return RecordSnapshot(connection, RecordOutline({}, (), {}))
    names = [name for name in COUNTS if vectors or name != VECTORS]
    tables = tuple(
        [
            RecordTable(row["name"], tuple(row["columns"]), await connection.fetchval(COUNTS[row["name"]]))
            for row in await connection.fetch(_COLUMNS, names)
        ]
    )
    migrations = {row["name"]: row["checksum"] for row in await connection.fetch(_MIGRATIONS)}
    # Read after the snapshot was taken, so that no row of it has a higher number.
    sequences = {row["name"]: row["value"] for row in await connection.fetch(_SEQUENCES, names)}
    return RecordSnapshot(connection, RecordOutline(migrations, tables, sequences))
