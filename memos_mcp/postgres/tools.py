"""Stores tools in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.quotas import NO_QUOTAS, Quotas
from memos_mcp.domain.tool import NewTool, RegistrationOutcome, Tool, ToolFilter, Upserted
from memos_mcp.postgres.connection import UNAVAILABLE, Contended, Row
from memos_mcp.postgres.database import Database, retried
from memos_mcp.postgres.growth import Growth

_UNCHANGED: Final = """
    SELECT point_id, version
      FROM registered_tools
     WHERE namespace = $1
       AND tool_id = $2
       AND (name, description, endpoint_url, request_schema, response_schema,
            coalesce(required_capabilities, '{}'::text[]), method, auth, source, annotations, missing)
           IS NOT DISTINCT FROM ($3, $4, $5, $6::jsonb, $7::jsonb, $8::text[], $9, $10, $11, $12::jsonb, false)
"""
# Only an operator changes `enabled` of a tool that its source has.
_UPSERT: Final = """
    INSERT INTO registered_tools AS old (
        namespace, tool_id, name, description, endpoint_url, request_schema, response_schema, required_capabilities,
        method, auth, source, annotations, created_at, updated_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
    ON CONFLICT (namespace, tool_id) DO UPDATE SET
        name = excluded.name, description = excluded.description, endpoint_url = excluded.endpoint_url,
        request_schema = excluded.request_schema, response_schema = excluded.response_schema,
        required_capabilities = excluded.required_capabilities, method = excluded.method, auth = excluded.auth,
        source = excluded.source, annotations = excluded.annotations, updated_at = excluded.updated_at,
        version = old.version + 1, enabled = old.enabled OR old.missing, missing = false
    WHERE (old.name, old.description, old.endpoint_url, old.request_schema, old.response_schema,
           coalesce(old.required_capabilities, '{}'), old.method, old.auth, old.source, old.annotations, old.missing)
          IS DISTINCT FROM
          (excluded.name, excluded.description, excluded.endpoint_url, excluded.request_schema,
           excluded.response_schema, excluded.required_capabilities, excluded.method, excluded.auth, excluded.source,
           excluded.annotations, false)
    RETURNING point_id, version
"""
_DELETE: Final = "DELETE FROM registered_tools WHERE namespace = $1 AND tool_id = ANY ($2::text[]) RETURNING tool_id"
_SET_ENABLED: Final = """
    UPDATE registered_tools
       SET enabled = $3, missing = false
     WHERE namespace = $1
       AND tool_id = ANY ($2::text[])
    RETURNING tool_id
"""
_MARK_MISSING: Final = """
    UPDATE registered_tools
       SET enabled = false, missing = true
     WHERE namespace = $1
       AND tool_id = ANY ($2::text[])
       AND enabled
    RETURNING tool_id
"""
_EVERY: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM registered_tools
     WHERE namespace = $1
     ORDER BY tool_id
"""
_OF_SOURCE: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM registered_tools
     WHERE namespace = $1
       AND source = $2
     ORDER BY tool_id
"""
_NAMESPACES_OF: Final = "SELECT DISTINCT namespace FROM registered_tools WHERE source = $1 ORDER BY namespace"
# OFFSET 0 makes the planner read rows by id: before the first ANALYZE it prefers other indexes.
_GET: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM (SELECT * FROM registered_tools WHERE point_id = ANY ($4::uuid[]) OFFSET 0) AS asked
     WHERE tool_matches(asked::registered_tools, $1, $2, $3)
"""
_NAMED: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM registered_tools AS tool
     WHERE tool_matches(tool, $1, $2, $3)
       AND (tool_id = ANY ($4::text[]) OR lower(name) = ANY (ARRAY(SELECT lower(text) FROM unnest($4::text[]) AS text)))
     ORDER BY tool_id = ANY ($4::text[]) DESC, name, tool_id
"""
_BY_NAME: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM registered_tools AS tool
     WHERE tool_matches(tool, $1, $2, $3)
     ORDER BY lower(name), tool_id
     LIMIT $4
"""
_COUNT: Final = """
    SELECT count(*)
      FROM registered_tools AS tool
     WHERE tool_matches(tool, $1, $2, $3)
"""
_SEARCH: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing,
           ts_rank(search, query, 1) AS score
      FROM registered_tools AS tool, any_word_of($4) AS query
     WHERE search @@ query
       AND tool_matches(tool, $1, $2, $3)
     ORDER BY score DESC, tool_id
     LIMIT $5
"""
# OFFSET 0 makes the planner read the queue first and each tool by id: the queue is nearly always empty, and then this
# costs nothing. Before the first ANALYZE it would read the namespace once for each queued row.
_SEARCH_QUEUED: Final = """
    SELECT queued.*, ts_rank(queued.search, query, 1) AS score
      FROM any_word_of($4) AS query, index_queue
     CROSS JOIN LATERAL (
        SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
               required_capabilities, version, id, method, auth, source, annotations, enabled, missing, search
          FROM (SELECT * FROM registered_tools WHERE point_id = index_queue.item_id OFFSET 0) AS tool
         WHERE tool_matches(tool::registered_tools, $1, $2, $3)
     ) AS queued
     WHERE index_queue.kind = 'tool'
       AND queued.search @@ query
     ORDER BY score DESC, queued.tool_id
     LIMIT $5
"""
_CURRENT: Final = """
    SELECT point_id, namespace, tool_id, name, description, endpoint_url, request_schema, response_schema,
           required_capabilities, version, id, method, auth, source, annotations, enabled, missing
      FROM registered_tools
     WHERE point_id = ANY ($1::uuid[])
       AND enabled
"""


class PostgresTools:
    """The `ToolStore` port."""

    def __init__(self, database: Database, quotas: Quotas = NO_QUOTAS) -> None:
        self._database = database
        self._growth = Growth(database, quotas)

    @retried
    async def upsert(self, namespace: str, new: NewTool, now: datetime) -> Upserted:
        values = _values(namespace, new)
        async with self._growth.connection(namespace) as connection:
            # Checked first, because clients register the same tools at every start.
            same = await connection.fetchrow(_UNCHANGED, *values)
            if same is not None:
                return Upserted(same["point_id"], "unchanged", same["version"])
            row = await connection.fetchrow(_UPSERT, *values, now)
        if row is None:  # another client has just registered the same
            raise Contended(UNAVAILABLE)
        outcome: RegistrationOutcome = "created" if row["version"] == 1 else "updated"
        return Upserted(row["point_id"], outcome, row["version"])

    @retried
    async def delete(self, namespace: str, tool_ids: Sequence[str]) -> list[str]:
        async with self._database.within(namespace).connection() as connection:
            rows = await connection.fetch(_DELETE, namespace, tool_ids)
        return [row["tool_id"] for row in rows]

    @retried
    async def set_enabled(self, namespace: str, tool_ids: Sequence[str], *, enabled: bool) -> list[str]:
        async with self._database.within(namespace).connection() as connection:
            rows = await connection.fetch(_SET_ENABLED, namespace, tool_ids, enabled)
        return [row["tool_id"] for row in rows]

    @retried
    async def mark_missing(self, namespace: str, tool_ids: Sequence[str]) -> list[str]:
        async with self._database.within(namespace).connection() as connection:
            rows = await connection.fetch(_MARK_MISSING, namespace, tool_ids)
        return [row["tool_id"] for row in rows]

    async def every(self, namespace: str) -> list[Tool]:
        async with self._database.within(namespace).reading() as connection:
            return [_tool(row) for row in await connection.fetch(_EVERY, namespace)]

    async def of_source(self, namespace: str, source: str) -> list[Tool]:
        async with self._database.within(namespace).reading() as connection:
            return [_tool(row) for row in await connection.fetch(_OF_SOURCE, namespace, source)]

    async def namespaces_of(self, source: str) -> list[str]:
        async with self._database.everything.connection() as connection:
            return [row["namespace"] for row in await connection.fetch(_NAMESPACES_OF, source)]

    async def get(self, namespace: str, ids: Sequence[UUID], filter: ToolFilter) -> dict[UUID, Tool]:
        async with self._database.within(namespace).lookup() as connection:
            rows = await connection.fetch(_GET, *_filter(namespace, filter), ids)
        return {row["point_id"]: _tool(row) for row in rows}

    async def named(self, namespace: str, texts: Sequence[str], filter: ToolFilter) -> list[Tool]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_NAMED, *_filter(namespace, filter), texts)
        return [_tool(row) for row in rows]

    async def by_name(self, namespace: str, filter: ToolFilter, limit: int) -> list[Tool]:
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(_BY_NAME, *_filter(namespace, filter), limit)
        return [_tool(row) for row in rows]

    async def count(self, namespace: str, filter: ToolFilter) -> int:
        async with self._database.within(namespace).reading() as connection:
            return int(await connection.fetchval(_COUNT, *_filter(namespace, filter)))

    async def text_search(
        self, namespace: str, text: str, filter: ToolFilter, limit: int, *, queued_only: bool
    ) -> list[Match]:
        statement = _SEARCH_QUEUED if queued_only else _SEARCH
        async with self._database.within(namespace).reading() as connection:
            rows = await connection.fetch(statement, *_filter(namespace, filter), text, limit)
        return [Match(str(row["point_id"]), row["score"], Span(0, 0)) for row in rows]

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Tool]:
        async with self._database.everything.connection() as connection:
            rows = await connection.fetch(_CURRENT, ids)
        return {row["point_id"]: _tool(row) for row in rows}


def _values(namespace: str, new: NewTool) -> tuple[Any, ...]:
    return (
        namespace,
        new.tool_id,
        new.name,
        new.description,
        new.endpoint_url,
        new.request_schema,
        new.response_schema,
        list(new.required_capabilities),
        new.called_by,
        new.auth,
        new.source,
        new.annotations,
    )


def _filter(namespace: str, filter: ToolFilter) -> tuple[Any, ...]:
    """Return the parameters $1 to $3 of the statements with tool_matches; an empty `required` is no filter."""
    return namespace, filter.required or None, filter.agent_has


def _tool(row: Row) -> Tool:
    return Tool(
        id=row["point_id"],
        namespace=row["namespace"],
        tool_id=row["tool_id"],
        name=row["name"],
        description=row["description"],
        endpoint_url=row["endpoint_url"],
        request_schema=row["request_schema"],
        response_schema=row["response_schema"],
        required_capabilities=row["required_capabilities"] or [],
        version=row["version"],
        sequence=row["id"],
        method=row["method"],
        auth=row["auth"],
        source=row["source"],
        annotations=row["annotations"],
        enabled=row["enabled"],
        missing=row["missing"],
    )
