"""Loads a snapshot of the record into an empty database, in one transaction: all of it, or nothing."""

from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.record import RecordOutline, RecordSource, RecordTable
from memos_mcp.postgres.connection import Connection, connect, translated
from memos_mcp.postgres.migrate import Migration, migrate, migrations_folder, read_migrations
from memos_mcp.postgres.record_snapshot import COPY_SECONDS, NO_LIMITS

CLOSE_SECONDS: Final = 5.0
CHUNKS: Final = 8
"""How many parts of a table may be read ahead."""

# Rows come with what their triggers computed. A row of the queue for each would index everything once more, where the
# comparison at the next start finds what an index lacks. An older record has no past tasks.
_PAUSE_TRIGGERS: Final = """
    ALTER TABLE registered_tools DISABLE TRIGGER USER;
    ALTER TABLE agent_memories DISABLE TRIGGER USER;
    ALTER TABLE ingested_files DISABLE TRIGGER USER;
    ALTER TABLE IF EXISTS past_tasks DISABLE TRIGGER USER;
"""
_RESUME_TRIGGERS: Final = """
    ALTER TABLE registered_tools ENABLE TRIGGER USER;
    ALTER TABLE agent_memories ENABLE TRIGGER USER;
    ALTER TABLE ingested_files ENABLE TRIGGER USER;
    ALTER TABLE IF EXISTS past_tasks ENABLE TRIGGER USER;
"""
_ANALYZE: Final = """
    ANALYZE registered_tools, agent_memories, forgotten_memories, memory_events, ingested_files, embeddings,
            past_tasks, tool_outcomes
"""
_APPLIED: Final = "SELECT name FROM schema_migrations ORDER BY name"
_HAS_SCHEMA: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_HAS_ROWS: Final = """
    SELECT EXISTS (SELECT FROM registered_tools) OR EXISTS (SELECT FROM agent_memories)
        OR EXISTS (SELECT FROM forgotten_memories) OR EXISTS (SELECT FROM memory_events)
        OR EXISTS (SELECT FROM ingested_files) OR EXISTS (SELECT FROM embeddings)
"""
_HAS_ENGINES: Final = "SELECT EXISTS (SELECT FROM engines WHERE seen_at > now() - interval '2 minutes')"
_SET_SEQUENCE: Final = "SELECT setval($1::text::regclass, $2)"


class NotEmpty(Invalid):
    """The database has content, or tables that a restore would have to replace."""


def check_known(outline: RecordOutline) -> None:
    """Raise `Invalid` when this version does not know the schema of a snapshot."""
    known = {migration.name: migration.checksum for migration in read_migrations(migrations_folder())}
    for name, checksum in outline.migrations.items():
        if known.get(name) != checksum:
            raise Invalid(
                f"The record has the migration {name}, which this version of memos-as does not know: a newer version "
                "has written it. Upgrade memos-as; nothing was changed."
            )


def _ignore(*_: int) -> None:
    """Do nothing."""


async def load_into(
    url: str,
    source: RecordSource,
    progress: Callable[[int], object] = _ignore,
    *,
    finish: Callable[[], object] = _ignore,
    prepared_statements: bool = True,
) -> None:
    """Create the tables of a database, fill them from a snapshot and bring the schema up to date.

    progress: receives how many rows were copied since its last call. finish: called before the commit. Raises
    `NotEmpty` when the database has content.
    """
    connection = await connect(url, prepared_statements=prepared_statements, command_timeout=None)
    try:
        with translated():
            await _load(connection, source, progress, finish)
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=CLOSE_SECONDS)


async def _load(
    connection: Connection, source: RecordSource, progress: Callable[[int], object], finish: Callable[[], object]
) -> None:
    check_known(source.outline)
    migrations = read_migrations(migrations_folder())
    async with connection.transaction():
        await connection.execute(NO_LIMITS)
        await _check_empty(connection, source.outline)
        await migrate(connection, _applied_to(source.outline, migrations))
        if source.outline.tables:
            await _fill(connection, source, progress)
        await migrate(connection, migrations)
        await connection.execute(_ANALYZE)
        finish()


async def _fill(connection: Connection, source: RecordSource, progress: Callable[[int], object]) -> None:
    await connection.execute(_PAUSE_TRIGGERS)
    for table in source.outline.tables:
        await _copy(connection, source, table, progress)
    for name, value in source.outline.sequences.items():
        await connection.fetchval(_SET_SEQUENCE, name, value)
    await connection.execute(_RESUME_TRIGGERS)


def _applied_to(outline: RecordOutline, migrations: list[Migration]) -> list[Migration]:
    return [migration for migration in migrations if migration.name in outline.migrations]


async def _check_empty(connection: Connection, outline: RecordOutline) -> None:
    if not await connection.fetchval(_HAS_SCHEMA):
        return
    applied = {row["name"] for row in await connection.fetch(_APPLIED)}
    if applied != outline.migrations.keys():
        raise NotEmpty("The database has tables of another version than the backup.")
    if await connection.fetchval(_HAS_ROWS):
        raise NotEmpty("The database has memories or tools already.")
    if await connection.fetchval(_HAS_ENGINES):
        raise Invalid(
            "An engine uses the database, or has crashed within the last two minutes (see memos-as doctor). "
            "Stop all engines of this database, then restore; nothing was changed."
        )


async def _copy(
    connection: Connection, source: RecordSource, table: RecordTable, progress: Callable[[int], object]
) -> None:
    send, receive = anyio.create_memory_object_stream[bytes](CHUNKS)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in receive:
            progress(chunk.count(b"\n"))
            yield chunk

    try:
        async with anyio.create_task_group() as tasks, receive:
            tasks.start_soon(_send_rows, source, table, send)
            await connection.copy_to_table(
                table.name, columns=table.columns, source=chunks(), timeout=COPY_SECONDS, format="text"
            )
    except ExceptionGroup as group:  # of the two sides, one failed and the other was cancelled
        raise group.exceptions[0] from None


async def _send_rows(source: RecordSource, table: RecordTable, send: MemoryObjectSendStream[bytes]) -> None:
    async with send:
        await source.copy_rows(table, send.send)
