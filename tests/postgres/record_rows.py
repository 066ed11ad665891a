"""Databases with content, and all their rows for comparison."""

from pathlib import Path

from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from memos_mcp.postgres.record_snapshot import COUNTS

SAMPLE = (Path(__file__).parents[1] / "migrations" / "populated_0006.sql").read_text(encoding="utf-8")
"""Rows of every table and with every column, at the sixth migration."""

ODD_TEXTS = """
    INSERT INTO agent_memories (namespace, agent_id, content, tags, metadata, importance, occurred_at)
    VALUES ('a\tb', 'ann', E'tab\t, line\nbreak\r\n, back\\\\slash, \\\\N, \\\\., "quotes"', '{"a,b","\\"",NULL}',
            '{"deep": {"Größe": 1e300, "list": [null, 0.1, "\\\\u2028"]}}', 0.30000000000000004, 'infinity'),
           ('日本', 'ann', E'日本語 \U0001f600 \u202e e\u0301', '{}', '{}', 0, '0044-03-15 BC')
"""


async def populate(connection: Connection) -> None:
    """Create a database at the sixth migration, with rows that are easy to get wrong, and upgrade it."""
    files = read_migrations(migrations_folder())
    await migrate(connection, files[:6])
    await connection.execute(SAMPLE)
    await connection.execute(ODD_TEXTS)
    await migrate(connection, files)


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
