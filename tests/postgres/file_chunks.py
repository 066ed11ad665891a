"""Ingested files, for the tests of their chunks' neighbours."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from memos_mcp.domain.index_rows import Neighbour
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.source import StoredFile
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.sources import PostgresSources
from tests.postgres.queue_marks import ANN, NOW, index_all, neighbours

ORDER: Final = "UPDATE ingested_files SET memory_ids = $1 WHERE path = 'a.py'"
"""Changes the order of the chunks of the file that `indexed` ingests."""


def file(path: str, contents: Sequence[str], source: str = "app") -> StoredFile:
    """Return a file with a chunk of each of these contents; their metadata has no position."""
    return StoredFile(path, b"1", [NewMemory(one, kind="document", metadata={"source": source}) for one in contents])


async def ingest(database: Database, path: str, contents: Sequence[str], source: str = "app") -> None:
    await PostgresSources(database).replace(ANN, source, [file(path, contents, source)], NOW)


async def indexed(database: Database, contents: Sequence[str]) -> dict[str, UUID]:
    """Ingest a file and index it; return its chunks by their contents."""
    await ingest(database, "a.py", contents)
    await index_all(database)
    return await chunks(database)


async def chunks(database: Database) -> dict[str, UUID]:
    async with database.everything.connection() as connection:
        rows = await connection.fetch("SELECT content, id FROM agent_memories")
    return {row["content"]: row["id"] for row in rows}


async def chunk_neighbours(database: Database, content: str) -> list[Neighbour]:
    memory_id = (await chunks(database))[content]
    return list((await neighbours(database, [memory_id])).get(memory_id, []))
