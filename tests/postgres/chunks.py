"""Files that are taken in, for the tests of their chunks' neighbours."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from memos_mcp.domain.memory import Neighbour, NewMemory
from memos_mcp.domain.source import StoredFile
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.retrieval.context import MAX_CHARS, REACH
from tests.postgres.marked import ANN, NOW, index_all

ORDER: Final = "UPDATE ingested_files SET memory_ids = $1 WHERE path = 'a.py'"
"""Puts the chunks of the file that `indexed` takes in into another order."""


def file(path: str, contents: Sequence[str]) -> StoredFile:
    """Return a file with a chunk of each of these contents; where they stand in it is not told."""
    return StoredFile(path, b"1", [NewMemory(content, kind="document") for content in contents])


async def take_in(database: Database, path: str, contents: Sequence[str], source: str = "app") -> None:
    await PostgresSources(database).replace(ANN, source, [file(path, contents)], NOW)


async def indexed(database: Database, contents: Sequence[str]) -> dict[str, UUID]:
    """Take in a file that the index has; return its chunks by their contents."""
    await take_in(database, "a.py", contents)
    await index_all(database)
    return await chunks(database)


async def chunks(database: Database) -> dict[str, UUID]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT content, id FROM agent_memories")
    return {row["content"]: row["id"] for row in rows}


async def around(database: Database, content: str) -> list[Neighbour]:
    memory_id = (await chunks(database))[content]
    return (await PostgresMemories(database).neighbours([memory_id], REACH, MAX_CHARS)).get(memory_id, [])
