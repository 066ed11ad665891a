"""Opens the record for a command: Postgres only, which the engine may use at the same time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from memos_mcp import __version__
from memos_mcp.app import App, assemble
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.engine.admission import own_scope
from memos_mcp.settings import Settings

CLIENT: Final = Client("memos-as", __version__, "command line")
"""Who changes the record, for the history."""


@asynccontextmanager
async def opened_record(settings: Settings) -> AsyncIterator[tuple[App, Scope]]:
    """Yield the services, which connect to what they use, and the scope of the settings."""
    scope = replace(own_scope(settings), client=CLIENT)
    app = assemble(settings)
    try:
        yield app, scope
    finally:
        await app.close()
