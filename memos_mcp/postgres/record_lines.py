"""Reads the record as lines of JSON in one snapshot, and stores such lines: `export` and `import`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.line_type import LineType
from memos_mcp.postgres.record_snapshot import NO_LIMITS

FETCHED: Final = 500
"""Rows that are read at a time."""

# Times and digests are printed alike whatever the server's settings are.
_PLAIN: Final = "SELECT set_config('TimeZone', 'UTC', true), set_config('bytea_output', 'hex', true)"
_ISOLATE: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NAMESPACES: Final = """
    SELECT namespace FROM agent_memories
     UNION SELECT namespace FROM forgotten_memories
     UNION SELECT namespace FROM memory_events
     UNION SELECT namespace FROM registered_tools
     UNION SELECT namespace FROM ingested_files
     UNION SELECT namespace FROM past_tasks
     ORDER BY namespace
"""
_FETCH: Final = f"FETCH {FETCHED} FROM record_lines"
_UNDER_ANOTHER_ID: Final = """
    SELECT new.id::text AS given, old.id::text AS stored
      FROM unnest($1::text[]) AS line (text)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::agent_memories, line.text::jsonb) AS new
      JOIN agent_memories AS old
        ON old.namespace = new.namespace
       AND old.content_hash = digest_of(new.content)
       AND md5(old.agent_id) = md5(new.agent_id)
       AND coalesce(md5(old.session_id), '') = coalesce(md5(new.session_id), '')
     WHERE old.superseded_by IS NULL
       AND (old.expires_at IS NULL OR old.expires_at > now())
       AND new.superseded_by IS NULL
       AND old.id <> new.id
       AND NOT EXISTS (SELECT FROM agent_memories WHERE id = new.id)
"""
_HAS_MEMORIES: Final = """
    SELECT EXISTS (SELECT FROM agent_memories) OR EXISTS (SELECT FROM forgotten_memories)
"""
# What is stored while an import runs, and what happens to the imported memories, has a number after those of the file.
_RESERVE_MEMORIES: Final = """
    SELECT setval('agent_memories_sequence_seq', greatest($1, nextval('agent_memories_sequence_seq')))
"""
_RESERVE_EVENTS: Final = """
    SELECT setval('memory_events_sequence_seq', greatest($1, nextval('memory_events_sequence_seq')))
"""


class RecordLines:
    """A snapshot of the record as lines; valid in the transaction of its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self) -> list[str]:
        """Make the transaction that has just been begun a snapshot; return all namespaces."""
        await self._connection.execute(_ISOLATE)
        await self._connection.execute(NO_LIMITS)
        await self._connection.execute(_PLAIN)
        return [row["namespace"] for row in await self._connection.fetch(_NAMESPACES)]

    async def count(self, line_type: LineType, namespace: str | None) -> int:
        """Return how many lines a namespace has, or all namespaces."""
        return int(await self._connection.fetchval(line_type.count, namespace))

    async def read(self, line_type: LineType, namespace: str | None) -> AsyncIterator[list[str]]:
        """Yield the lines of a type in parts."""
        await self._connection.execute(f"DECLARE record_lines NO SCROLL CURSOR FOR {line_type.read}", namespace)
        while rows := await self._connection.fetch(_FETCH):
            yield [row["line"] for row in rows]
        await self._connection.execute("CLOSE record_lines")


@dataclass(frozen=True, slots=True)
class InsertedLines:
    """The outcome for the lines of a batch, by their positions in it, from 1.

    The lines in neither set are not stored: the record has forgotten or erased them, or something else in their stead.
    """

    created: frozenset[int]
    stored: Mapping[int, bool]
    """The lines that were there already: whether with the same values."""


class LineImports:
    """Stores lines. What is stored already is never changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve_numbers(self, last_memory: int, last_event: int) -> bool:
        """Have new rows numbered after these; return whether there are no memories, so that theirs can be kept."""
        async with self._database.everything.transaction() as connection:
            await connection.fetchval(_RESERVE_EVENTS, last_event)
            empty = not await connection.fetchval(_HAS_MEMORIES)
            if empty:
                await connection.fetchval(_RESERVE_MEMORIES, last_memory)
            return empty

    async def ids_of_same_content(self, lines: Sequence[str]) -> dict[str, str]:
        """Return, for the memories whose content is stored under another id, that id by theirs."""
        async with self._database.everything.connection() as connection:
            return {row["given"]: row["stored"] for row in await connection.fetch(_UNDER_ANOTHER_ID, lines)}

    @retried
    async def insert(
        self, line_type: LineType, lines: Sequence[str], ids: Mapping[str, str], *, keep_numbers: bool
    ) -> InsertedLines:
        """Store the lines of one type that are new, in one transaction."""
        async with self._database.everything.transaction() as connection:
            await connection.execute(_PLAIN)
            before = await self._stored(connection, line_type, lines, ids)
            values = (lines, dict(ids), keep_numbers)
            await connection.execute(line_type.insert, *values[: line_type.insert_parameters])
            after = await self._stored(connection, line_type, lines, ids)
        return InsertedLines(frozenset(after.keys() - before.keys()), before)

    async def _stored(
        self, connection: Connection, line_type: LineType, lines: Sequence[str], ids: Mapping[str, str]
    ) -> dict[int, bool]:
        values = (lines, dict(ids))
        rows = await connection.fetch(line_type.stored, *values[: line_type.stored_parameters])
        return {row["position"]: row["same"] for row in rows}
