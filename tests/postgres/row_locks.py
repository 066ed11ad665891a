"""An uncommitted statement of another connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from memos_mcp.postgres.connection import Connection
from memos_mcp.postgres.database import Database


@asynccontextmanager
async def gate(
    database: Database, statement: str, *arguments: object, end: Literal["COMMIT", "ROLLBACK"] = "ROLLBACK"
) -> AsyncIterator[Connection]:
    """Hold the locks of an uncommitted statement inside the block; at its end, roll it back or commit it."""
    connection = await database.dedicated_connection()
    await connection.execute("BEGIN")
    await connection.execute(statement, *arguments)
    yield connection
    await connection.execute(end)
