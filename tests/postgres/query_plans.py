"""A filled database, and a `Database` that explains the stores' statements instead of running them."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database

FILL: Final = """
    SET synchronous_commit = on;
    ALTER TABLE agent_memories DISABLE TRIGGER USER;
    ALTER TABLE registered_tools DISABLE TRIGGER USER;
    ALTER TABLE ingested_files DISABLE TRIGGER USER;
    ALTER TABLE past_tasks DISABLE TRIGGER USER;
    ALTER TABLE agent_memories SET (autovacuum_enabled = off);
    ALTER TABLE registered_tools SET (autovacuum_enabled = off);
    ALTER TABLE ingested_files SET (autovacuum_enabled = off);
    ALTER TABLE embeddings SET (autovacuum_enabled = off);
    ALTER TABLE tool_outcomes SET (autovacuum_enabled = off);
    ALTER TABLE index_queue SET (autovacuum_enabled = off);

    INSERT INTO agent_memories (
        id, namespace, agent_id, session_id, content, tags, metadata, occurred_at, expires_at, superseded_by, ingested
    )
    SELECT md5(number::text)::uuid,
           CASE WHEN number % 4 < 2 THEN 'other' ELSE 'team' END,
           'agent ' || number % 7,
           CASE WHEN number % 3 > 0 THEN 'session ' || number / 20 END,
           'note number' || number || ' of word' || number % 500 || repeat(' filler', 30),
           ARRAY['tag ' || number % 400],
           jsonb_build_object('ticket', number % 400)
               || CASE WHEN number % 5 = 0 THEN jsonb_build_object('defines', ARRAY['name ' || number]) ELSE '{}' END,
           timestamptz '2026-01-01' + number * interval '1 min',
           CASE WHEN number % 11 = 0 THEN timestamptz '2026-01-01' END,
           CASE WHEN number % 10 = 0 THEN gen_random_uuid() END,
           number % 3 = 0
      FROM generate_series(1, 4000) AS number;

    INSERT INTO registered_tools (point_id, namespace, tool_id, name, description, endpoint_url, required_capabilities)
    SELECT md5(number::text)::uuid,
           'team ' || number % 8,
           'tool.' || number,
           'Tool ' || number,
           'Does job' || number || repeat(' filler', 30),
           'http://x',
           ARRAY['capability ' || number % 100]
      FROM generate_series(1, 4000) AS number;

    INSERT INTO ingested_files (namespace, agent_id, source, path, digest, memory_ids, stored_at)
    SELECT 'team', 'agent 1', 'source ' || number % 10, 'path/' || number, '1',
           ARRAY(SELECT md5((3 * (10 * number + chunk))::text)::uuid FROM generate_series(1, 10) AS chunk), now()
      FROM generate_series(1, 1000) AS number;

    INSERT INTO past_tasks (id, namespace, task, created_at)
    SELECT md5(number::text)::uuid, 'team 1', 'a task of number ' || number, now()
      FROM generate_series(1, 4000) AS number;
    INSERT INTO tool_outcomes (task_id, namespace, tool_id, tool_version, worked, agent_id, at)
    SELECT md5(number::text)::uuid, 'team 1', 'tool.' || (8 * (number % 100) + 1), 1, true, 'agent 1', now()
      FROM generate_series(1, 4000) AS number;

    INSERT INTO embeddings (model, content_hash, vector)
    SELECT 'model', sha256(number::text::bytea), decode(repeat('00', 1536), 'hex')
      FROM generate_series(1, 2000) AS number;

    INSERT INTO index_queue (kind, item_id, priority, queued_at)
    SELECT CASE WHEN number % 4 = 0 THEN 'tool' ELSE 'memory' END, md5(number::text)::uuid, number % 2,
           now() + number * interval '1 ms'
      FROM generate_series(1, 32000) AS number;
"""
"""Large enough that an index is cheaper than a scan of the table: smaller tables are rightly read as a whole.

Commits are synchronous, because VACUUM does not mark a page as visible to all before its rows' commits are flushed, and
an index-only scan needs that mark.
"""


class Explaining(Database):
    """Explains each statement with its arguments instead of running it; every statement seems to find nothing."""

    def __init__(self, connection: Connection, callers_role: str | None = None) -> None:
        super().__init__("", callers_role=callers_role)
        self.plans: list[Plan] = []
        self._connection = connection

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Any]:
        yield self

    @asynccontextmanager
    async def _lent_for_lookup(self) -> AsyncIterator[Any]:
        yield _Lookup(self)

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        await self._explain(statement, *arguments)
        return []

    async def explain_generic(self, statement: str, arguments: Sequence[object]) -> None:
        """Explain the plan for any arguments."""
        await self._connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE lookup AS {statement}")
        try:
            await self._explain(f"EXECUTE lookup ({', '.join(['NULL'] * len(arguments))})")
        finally:
            await self._connection.execute("DEALLOCATE lookup; RESET plan_cache_mode")

    async def _explain(self, statement: str, *arguments: object) -> None:
        plan = await self._connection.fetchval(f"EXPLAIN (FORMAT JSON, VERBOSE) {statement}", *arguments)
        self.plans.append(Plan(json.loads(plan)[0]["Plan"]))

    async def fetchval(self, statement: str, *arguments: object) -> int:
        await self.fetch(statement, *arguments)
        return 0

    async def execute(self, statement: str, *arguments: object) -> None:
        if statement.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            await self._connection.execute(statement)
        else:
            await self.fetch(statement, *arguments)

    async def fetchmany(self, statement: str, arguments: Iterable[Sequence[object]]) -> list[Any]:
        for one in arguments:
            await self.fetch(statement, *one)
        return []


class _Lookup:
    """Explains statements as a lookup plans them."""

    def __init__(self, database: Explaining) -> None:
        self._database = database

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        await self._database.explain_generic(statement, arguments)
        return []

    async def execute(self, statement: str) -> None:
        await self._database.execute(statement)


class Plan:
    """A plan as Postgres explains it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.text = json.dumps(root, indent=1)
        self.nodes = list(_nodes(root))

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned(self) -> set[str]:
        """The tables that are read as a whole."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)
