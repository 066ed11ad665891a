"""Databases with content, and all their rows for comparison."""

from pathlib import Path

from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from memos_mcp.postgres.record_snapshot import COUNTS

SAMPLE = (Path(__file__).parents[1] / "migrations" / "populated_0006.sql").read_text(encoding="utf-8")
"""Rows of every table and with every column, at the sixth migration."""

ODD_VALUES = r"""
    INSERT INTO agent_memories (namespace, agent_id, content, tags, metadata, importance, occurred_at)
    VALUES (E'a\tb', 'ann', E'tab\t, line\nbreak\r\n, back\\slash, \\N, \\., "quotes"', '{"a,b","\"",NULL}',
            '{"deep": {"Größe": 1e300, "π": 3.14159265358979323846264338327950288, "list": [null, 0.1]}}',
            0.30000000000000004, 'infinity'),
           ('日本', 'ann', U&'日本語 \+01F600 \202E e\0301', '{}', '{}', 0, '0044-03-15 BC');
    INSERT INTO memory_events (memory_id, namespace, event, agent_id, client, client_version, transport, at, former)
    VALUES ('00000000-0000-4000-8000-000000000005', 'home', 'superseded', 'ann', 'a client', '1.0', 'stdio',
            '2026-01-05Z', '{"tags": ["a"]}'),
           ('00000000-0000-4000-8000-0000000000ee', 'home', 'erased', 'ann', NULL, NULL, NULL, '2026-01-06Z', NULL);
    WITH deleted AS (DELETE FROM agent_memories WHERE id = '00000000-0000-4000-8000-000000000008' RETURNING *)
    INSERT INTO forgotten_memories (id, namespace, superseded_by, forgotten_at, stored)
    SELECT id, namespace, superseded_by, '2026-01-10Z', to_jsonb(deleted) - '{content_hash,search}'::text[]
      FROM deleted;
    INSERT INTO past_tasks (id, namespace, task, created_at)
    VALUES ('00000000-0000-4000-8000-0000000000c1', '日本', E'a task\t\\N', '2026-01-07Z'),
           ('00000000-0000-4000-8000-0000000000c2', 'home', 'nothing is known of it', '2026-01-07Z');
    INSERT INTO tool_outcomes VALUES
        ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000c1', '日本', 'a tool', 3, false,
         E'no\nquota', 12, 'ann', 'a client', '1.0', 'stdio', '2026-01-08Z'),
        ('00000000-0000-4000-8000-0000000000d2', '00000000-0000-4000-8000-0000000000c1', '日本', 'a tool', 3, true,
         NULL, NULL, 'ann', NULL, NULL, NULL, '2026-01-09Z');
    INSERT INTO access_tokens (id, digest, prefix, namespace, agent_id, rights, note, created_at, revoked_at) VALUES
        ('00000000-0000-4000-8000-0000000000e1', sha256('a token'), 'memos_00c0ffee', '日本', 'ann', '{read,admin}',
         'of	Ann', '2026-01-10Z', '2026-01-11Z');
    INSERT INTO quotas (namespace, memories, embedding_seconds) VALUES ('日本', 7, 0.1)
"""


async def populate(connection: Connection) -> None:
    """Create a database at the sixth migration, with rows that are easy to get wrong, and upgrade it."""
    files = read_migrations(migrations_folder())
    await migrate(connection, files[:6])
    await connection.execute(SAMPLE)
    await migrate(connection, files)
    await connection.execute(ODD_VALUES)


async def record_rows(url: str) -> dict[str, list[str]]:
    """Return all rows of the record, by table, as text; none when there are no tables."""
    connection = await connect(url)
    try:
        if not await connection.fetchval("SELECT to_regclass('embeddings') IS NOT NULL"):
            return {table: [] for table in COUNTS}
        return {
            table: sorted([row["row"] for row in await connection.fetch(f"SELECT {table}::text AS row FROM {table}")])
            for table in COUNTS
        }
    finally:
        await connection.close(timeout=5)
