"""The database of a bundled server."""

from typing import Final

import anyio

from memos_mcp.postgres.connection import connect, translated

DATABASE: Final = "memos"

_SERIALIZE: Final = "SELECT pg_advisory_lock(7305168201845)"
_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
_CREATE: Final = """
    CREATE DATABASE memos TEMPLATE template0 ENCODING 'UTF8'
    LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'
"""
"""Postgres' builtin locale: it maps the case of all alphabets, identically on every system."""


async def create_database(address: str) -> str:
    """Create the database of a server unless it exists; return its URL. address: a URL with a `{database}` field."""
    connection = await connect(address.format(database="postgres"))
    try:
        with translated():
            await connection.execute(_SERIALIZE)
            if not await connection.fetchval(_EXISTS, DATABASE):
                await connection.execute(_CREATE)
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=1)
    return address.format(database=DATABASE)


async def has_database(address: str) -> bool:
    """Whether the server has the database."""
    connection = await connect(address.format(database="postgres"))
    try:
        with translated():
            return bool(await connection.fetchval(_EXISTS, DATABASE))
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close(timeout=1)
