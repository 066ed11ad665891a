"""Reads from Postgres what each point of the index should be made of, and what a change affects."""

# ruff: noqa: S608 - these statements are composed of constants

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from memos_mcp.domain.index import ItemState, SequenceRange
from memos_mcp.domain.index_rows import Context, FormerPosition, Neighbour
from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database

# In every statement on memories, $1 is how far neighbours reach on each side.
_SESSION_NEIGHBOURS: Final = """
        (SELECT -row_number() OVER (ORDER BY occurred_at DESC, sequence DESC) AS "offset", id, version
           FROM agent_memories
          WHERE namespace = anchor.namespace
            AND session_id = anchor.session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) < (anchor.occurred_at, anchor.sequence)
          ORDER BY occurred_at DESC, sequence DESC
          LIMIT $1)
        UNION ALL
        (SELECT row_number() OVER (ORDER BY occurred_at, sequence), id, version
           FROM agent_memories
          WHERE namespace = anchor.namespace
            AND session_id = anchor.session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) > (anchor.occurred_at, anchor.sequence)
          ORDER BY occurred_at, sequence
          LIMIT $1)
"""
# The states of the memories `asked`, of which the query before selects the columns below. Here and elsewhere, OFFSET 0
# makes the planner read rows by id: before the first ANALYZE it would read a whole namespace.
_STATES: Final = f"""
    neighbour AS MATERIALIZED (
        SELECT anchor.id, beside."offset", beside.id AS neighbour_id, beside.version
          FROM asked AS anchor
         CROSS JOIN LATERAL ({_SESSION_NEIGHBOURS}) AS beside
         WHERE anchor.session_id IS NOT NULL
           AND anchor.expires_at IS NULL
         UNION ALL
        SELECT anchor.id, "offset", beside.id, beside.version
          FROM asked AS anchor
         CROSS JOIN LATERAL (
            SELECT memory_ids, array_position(memory_ids, anchor.id) AS position
              FROM (SELECT * FROM ingested_files WHERE memory_ids @> ARRAY[anchor.id] OFFSET 0) AS files
             WHERE namespace = anchor.namespace
             ORDER BY source, path, agent_id
             LIMIT 1
         ) AS file
         CROSS JOIN generate_series(-$1, $1) AS "offset"
         CROSS JOIN LATERAL (
            SELECT * FROM agent_memories WHERE id = memory_ids[position + "offset"] OFFSET 0
         ) AS beside
         WHERE anchor.session_id IS NULL
           AND anchor.expires_at IS NULL
           AND "offset" <> 0
           AND beside.namespace = anchor.namespace
           AND beside.session_id IS NULL
           AND beside.superseded_by IS NULL
           AND beside.expires_at IS NULL
    ),
    state AS (
        SELECT asked.id, asked.version, context
          FROM asked
          LEFT JOIN (
            SELECT id,
                   left(md5(string_agg(concat_ws(' ', "offset", neighbour_id, version), ',' ORDER BY "offset")), 16)
                       AS context
              FROM neighbour
             GROUP BY id
          ) AS digest USING (id)
    )
"""
_COLUMNS: Final = "id, namespace, session_id, occurred_at, sequence, version, expires_at"
_OF_IDS: Final = f"""
    asked AS MATERIALIZED (
        SELECT {_COLUMNS}
          FROM (SELECT * FROM agent_memories WHERE id = ANY ($2::uuid[]) OFFSET 0) AS memory
         WHERE superseded_by IS NULL
    )
"""
_OF_RANGE: Final = f"""
    asked AS MATERIALIZED (
        SELECT {_COLUMNS}
          FROM agent_memories
         WHERE superseded_by IS NULL
           AND sequence BETWEEN $2 AND $3
    )
"""
_READ: Final = "SELECT id, version, context FROM state"
# The same as domain.index.states_digest.
_DIGEST: Final = (
    "SELECT md5(coalesce(string_agg(concat_ws(' ', id, version, context), ',' ORDER BY id), '')) FROM state"
)
_CONTEXTS: Final = f"""
    WITH {_OF_IDS}, {_STATES}
    SELECT id,
           context,
           array_agg("offset" ORDER BY "offset") AS offsets,
           array_agg(CASE WHEN "offset" < 0 THEN right(content, $3) ELSE left(content, $3) END ORDER BY "offset")
               AS contents
      FROM neighbour
      JOIN state USING (id)
     CROSS JOIN LATERAL (SELECT content FROM agent_memories WHERE id = neighbour_id OFFSET 0) AS text
     GROUP BY id, context
"""
_AROUND: Final = f"""
    WITH anchor AS MATERIALIZED (
        SELECT namespace, session_id, occurred_at, sequence
          FROM (SELECT * FROM agent_memories WHERE id = ANY ($2::uuid[]) OFFSET 0) AS memory
         WHERE session_id IS NOT NULL
         UNION ALL
        SELECT * FROM jsonb_to_recordset($3)
            AS former (namespace text, session_id text, occurred_at timestamptz, sequence bigint)
    ),
    near AS (
        SELECT beside.id
          FROM anchor
         CROSS JOIN LATERAL ({_SESSION_NEIGHBOURS}) AS beside
         UNION
        SELECT memory_ids[position + "offset"]
          FROM unnest($2::uuid[]) AS changed
         CROSS JOIN LATERAL (
            SELECT memory_ids, array_position(memory_ids, changed) AS position
              FROM ingested_files
             WHERE memory_ids @> ARRAY[changed]
            OFFSET 0
         ) AS file
         CROSS JOIN generate_series(-$1, $1) AS "offset"
    ),
    asked AS MATERIALIZED (
        SELECT {", ".join(f"memory.{column}" for column in _COLUMNS.split(", "))}
          FROM near
         CROSS JOIN LATERAL (SELECT * FROM agent_memories WHERE id = near.id OFFSET 0) AS memory
         WHERE superseded_by IS NULL
           AND near.id <> ALL ($2::uuid[])
           AND NOT EXISTS (
            SELECT FROM index_queue WHERE (kind, item_id) = ('memory', near.id) AND attempts = 0 OFFSET 0
        )
    ), {_STATES}
    {_READ}
"""


@dataclass(frozen=True, slots=True)
class _Statements:
    count: str
    range_end: str
    states_of_ids: str
    states_of_range: str
    digest: str


_MEMORIES: Final = _Statements(
    count="SELECT count(*) FROM agent_memories WHERE superseded_by IS NULL",
    range_end="""
    SELECT sequence
      FROM agent_memories
     WHERE superseded_by IS NULL
       AND sequence >= $1
     ORDER BY sequence
    OFFSET $2
     LIMIT 1
""",
    states_of_ids=f"WITH {_OF_IDS}, {_STATES} {_READ}",
    states_of_range=f"WITH {_OF_RANGE}, {_STATES} {_READ}",
    digest=f"WITH {_OF_RANGE}, {_STATES} {_DIGEST}",
)
_TOOL_STATES: Final = """
    WITH state AS (SELECT point_id AS id, version, NULL AS context FROM registered_tools WHERE enabled AND {which})
"""
_TOOLS_OF_RANGE: Final = _TOOL_STATES.format(which="id BETWEEN $1::bigint AND $2::bigint")
_TOOLS: Final = _Statements(
    count="SELECT count(*) FROM registered_tools WHERE enabled",
    range_end="""
    SELECT id
      FROM registered_tools
     WHERE enabled
       AND id >= $1::bigint
     ORDER BY id
    OFFSET $2
     LIMIT 1
""",
    states_of_ids=f"{_TOOL_STATES.format(which='point_id = ANY ($1::uuid[])')} {_READ}",
    states_of_range=f"{_TOOLS_OF_RANGE} {_READ}",
    digest=f"{_TOOLS_OF_RANGE} {_DIGEST}",
)


_TASK_STATES: Final = """
    WITH state AS (SELECT id, 1 AS version, NULL AS context FROM past_tasks WHERE {which})
"""
_TASKS_OF_RANGE: Final = _TASK_STATES.format(which="sequence BETWEEN $1::bigint AND $2::bigint")
_TASKS: Final = _Statements(
    count="SELECT count(*) FROM past_tasks",
    range_end="SELECT sequence FROM past_tasks WHERE sequence >= $1::bigint ORDER BY sequence OFFSET $2 LIMIT 1",
    states_of_ids=f"{_TASK_STATES.format(which='id = ANY ($1::uuid[])')} {_READ}",
    states_of_range=f"{_TASKS_OF_RANGE} {_READ}",
    digest=f"{_TASKS_OF_RANGE} {_DIGEST}",
)


class _Rows:
    """The part of the port that all kinds share. `leading`: the first arguments of each statement on states."""

    def __init__(self, database: Database, statements: _Statements, *leading: int) -> None:
        self._database = database
        self._statements = statements
        self._leading = leading

    async def count(self) -> int:
        return int(await self._value(self._statements.count))

    async def range_end(self, first: int, limit: int) -> int | None:
        end: int | None = await self._value(self._statements.range_end, first, limit - 1)
        return end

    async def states(self, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        if isinstance(of, SequenceRange):
            async with self._database.everything.connection() as connection:
                rows = await connection.fetch(self._statements.states_of_range, *self._leading, *of)
        else:
            rows = await self._looked_up(self._statements.states_of_ids, *self._leading, of)
        return _states(rows)

    async def digest(self, of: SequenceRange) -> str:
        return str(await self._value(self._statements.digest, *self._leading, *of))

    async def _looked_up(self, statement: str, *arguments: Any) -> list[Row]:
        """Return the rows of a statement that starts from ids: to plan it would take longer than to run it."""
        async with self._database.everything.lookup() as connection:
            return await connection.fetch(statement, *arguments)

    async def _value(self, statement: str, *arguments: Any) -> Any:
        async with self._database.everything.connection() as connection:
            return await connection.fetchval(statement, *arguments)


class PostgresMemoryRows(_Rows):
    """The `IndexedRows` port for memories. `reach`: how many neighbours a memory has on each side."""

    def __init__(self, database: Database, reach: int) -> None:
        super().__init__(database, _MEMORIES, reach)

    async def contexts(self, ids: Sequence[UUID], max_chars: int) -> dict[UUID, Context]:
        rows = await self._looked_up(_CONTEXTS, *self._leading, ids, max_chars)
        return {
            row["id"]: Context(row["context"], list(map(Neighbour, row["offsets"], row["contents"]))) for row in rows
        }

    async def around(self, ids: Sequence[UUID], former_positions: Sequence[FormerPosition]) -> dict[UUID, ItemState]:
        return _states(await self._looked_up(_AROUND, *self._leading, ids, former_positions))


class _RowsWithoutNeighbours(_Rows):
    async def contexts(self, ids: Sequence[UUID], max_chars: int) -> dict[UUID, Context]:  # noqa: ARG002 - of the protocol
        return {}

    async def around(self, ids: Sequence[UUID], former_positions: Sequence[FormerPosition]) -> dict[UUID, ItemState]:  # noqa: ARG002 - of the protocol
        return {}


class PostgresToolRows(_RowsWithoutNeighbours):
    """The `IndexedRows` port for tools."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _TOOLS)


class PostgresTaskRows(_RowsWithoutNeighbours):
    """The `IndexedRows` port for past tasks, which never change."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _TASKS)


def _states(rows: Iterable[Row]) -> dict[UUID, ItemState]:
    return {row["id"]: ItemState(row["version"], row["context"]) for row in rows}
