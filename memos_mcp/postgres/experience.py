"""Stores past tasks and the outcomes of the tools that served them in Postgres."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from memos_mcp.domain.experience import MAX_USES, PastTask, RecordedOutcome, Reports, TaskRow, ToolOutcome
from memos_mcp.domain.index import Vector
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.embeddings import stored_vectors
from memos_mcp.postgres.memory_events import author

TASKS: Final = UUID("5f0f6f0c-5d5e-4c6b-9a35-2f1f0c7c1a55")
"""The namespace of the ids of tasks."""

KEPT: Final = 8
"""Outcomes of one agent that are kept for a task and a tool: the newest."""

_ADD: Final = """
    WITH known AS (
        SELECT given.*, tool.version
          FROM unnest($8::uuid[], $9::text[], $10::text[], $11::boolean[], $12::text[], $13::int[])
            AS given (task_id, task, tool_id, worked, why, milliseconds)
          JOIN registered_tools AS tool ON (tool.namespace, tool.tool_id) = ($1, given.tool_id)
    ), new AS (
        INSERT INTO past_tasks (id, namespace, task, created_at)
        SELECT DISTINCT ON (task_id) task_id, $1, task, $6 FROM known ORDER BY task_id
        ON CONFLICT DO NOTHING
        RETURNING id
    ), added AS (
        INSERT INTO tool_outcomes (
            namespace, agent_id, client, client_version, transport, at, task_id, tool_id, tool_version, worked, why,
            milliseconds
        )
        SELECT $1, $2, $3, $4, $5, $6, task_id, tool_id, version, worked, why, milliseconds FROM known
    ), surplus AS (
        SELECT old.id
          FROM (SELECT task_id, tool_id, count(*) AS added FROM known GROUP BY task_id, tool_id) AS given
         CROSS JOIN LATERAL (
            SELECT id
              FROM tool_outcomes
             WHERE (task_id, tool_id, agent_id) = (given.task_id, given.tool_id, $2)
             ORDER BY at DESC, id
            OFFSET greatest($7 - added, 0)
         ) AS old
    ), deleted AS (
        DELETE FROM tool_outcomes WHERE id IN (SELECT id FROM surplus)
    )
    SELECT task_id, task_id IN (SELECT id FROM new) AS new FROM known
"""
# OFFSET 0 makes the planner read rows by id: before the first ANALYZE it would read the whole namespace. PostgreSQL 15
# does so for a list of ids, but not for one after the other.
_REPORTS: Final = """
    SELECT task_id, point_id AS tool, agent_id, tool.version - tool_version AS behind, count(*) AS outcomes,
           count(*) FILTER (WHERE worked) AS worked, max(at) AS newest
      FROM (SELECT DISTINCT unnest($2::uuid[]) AS id) AS asked
     CROSS JOIN LATERAL (SELECT * FROM tool_outcomes WHERE task_id = asked.id OFFSET 0) AS outcome
     CROSS JOIN LATERAL (
        SELECT point_id, version
          FROM registered_tools
         WHERE (namespace, tool_id) = ($1, outcome.tool_id)
           AND enabled
        OFFSET 0
     ) AS tool
     WHERE namespace = $1
     GROUP BY task_id, point_id, agent_id, behind
"""
_USES: Final = """
    SELECT point_id AS tool, uses
      FROM (SELECT * FROM registered_tools WHERE point_id = ANY ($2::uuid[]) OFFSET 0) AS tool
     CROSS JOIN LATERAL (
        SELECT count(*) AS uses
          FROM (
            SELECT FROM tool_outcomes WHERE namespace = $1 AND tool_id = tool.tool_id LIMIT $3
          ) AS outcome
     ) AS counted
"""
_EXAMPLES: Final = """
    SELECT task_id, point_id AS tool, agent_id, tool.version - tool_version AS behind, outcomes, worked, newest, vector
      FROM (
        SELECT task_id, tool_id, agent_id, max(tool_version) AS tool_version, count(*) AS outcomes,
               count(*) FILTER (WHERE worked) AS worked, max(at) AS newest
          FROM tool_outcomes
         WHERE namespace = $1
         GROUP BY task_id, tool_id, agent_id
        HAVING bool_or(worked)
         ORDER BY newest DESC, task_id
         LIMIT $3
      ) AS outcome
      JOIN past_tasks ON past_tasks.id = task_id
      JOIN embeddings ON (model, content_hash) = ($2, digest_of(task)) AND vector IS NOT NULL
      JOIN registered_tools AS tool ON (tool.namespace, tool.tool_id) = ($1, outcome.tool_id)
     WHERE enabled
     ORDER BY newest DESC, task_id, point_id, agent_id
"""
_CURRENT: Final = "SELECT id AS task_id, sequence, namespace, task FROM past_tasks WHERE id = ANY ($1::uuid[])"
_PAST_TASKS: Final = """
    SELECT past.id AS task_id, task, count(outcome.id) AS outcomes, count(*) FILTER (WHERE worked) AS worked,
           coalesce(max(at), created_at) AS newest,
           array_remove(array_agg(DISTINCT tool_id ORDER BY tool_id), NULL) AS tools
      FROM past_tasks AS past
      LEFT JOIN tool_outcomes AS outcome ON outcome.task_id = past.id
     WHERE past.namespace = $1
       AND ($2::text IS NULL OR strpos(lower(task), lower($2)) > 0)
     GROUP BY past.id
     ORDER BY newest DESC, past.id
     LIMIT $3
"""
_TEXTS: Final = "SELECT task FROM past_tasks WHERE id = ANY ($2::uuid[]) AND namespace = $1"
_FORGET: Final = """
    WITH erased AS (DELETE FROM embeddings WHERE content_hash = ANY ($3::bytea[]))
    DELETE FROM past_tasks WHERE id = ANY ($2::uuid[]) AND namespace = $1 RETURNING id
"""


class PostgresExperience:
    """The `ExperienceStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retried
    async def add(self, scope: Scope, outcomes: Sequence[ToolOutcome], now: datetime) -> list[RecordedOutcome]:
        columns = (
            [task_id(scope.namespace, one.task) for one in outcomes],
            [one.task for one in outcomes],
            [one.tool_id for one in outcomes],
            [one.worked for one in outcomes],
            [one.why for one in outcomes],
            [one.milliseconds for one in outcomes],
        )
        async with self._database.within(scope.namespace).connection() as connection:
            rows = await connection.fetch(_ADD, *author(scope), now, KEPT, *columns)
        return [RecordedOutcome(row["task_id"], row["new"]) for row in rows]

    async def reports(self, namespace: str, task_ids: Sequence[UUID]) -> list[Reports]:
        async with self._database.within(namespace).lookup() as connection:
            rows = await connection.fetch(_REPORTS, namespace, task_ids)
        return [Reports(*row.values()) for row in rows]

    async def uses(self, namespace: str, tools: Sequence[UUID]) -> dict[UUID, int]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_USES, namespace, tools, MAX_USES)
        return {row["tool"]: row["uses"] for row in rows}

    async def examples(self, namespace: str, model: str, limit: int) -> tuple[list[Reports], Vector]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_EXAMPLES, namespace, model, limit)
        reports = [Reports(*(row[name] for name in Reports._fields)) for row in rows]
        return reports, stored_vectors([row["vector"] for row in rows])

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, TaskRow]:
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(_CURRENT, ids)
        return {row["task_id"]: TaskRow(**dict(row)) for row in rows}

    async def past_tasks(self, namespace: str, words: str | None, limit: int) -> list[PastTask]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_PAST_TASKS, namespace, words, limit)
        return [PastTask(**dict(row)) for row in rows]

    async def text_of(self, namespace: str, task_ids: Sequence[UUID]) -> list[str]:
        async with self._database.within(namespace).reading() as connection:
            return [row["task"] for row in await connection.fetch(_TEXTS, namespace, task_ids)]

    async def forget(self, namespace: str, task_ids: Sequence[UUID], vectors: Collection[bytes]) -> set[UUID]:
        async with self._database.within(namespace).connection() as connection:
            return {row["id"] for row in await connection.fetch(_FORGET, namespace, task_ids, list(vectors))}


def task_id(namespace: str, task: str) -> UUID:
    """Return the id of a task, the same wherever it is recorded."""
    return uuid5(TASKS, f"{namespace}\n{task}")
