"""The commands that serve over stdio and HTTP."""

from memos_mcp.app import open_app
from memos_mcp.engine.admission import own_scope
from memos_mcp.settings import Settings
from memos_mcp.transports.http import serve_http
from memos_mcp.transports.stdio import serve_stdio


async def stdio(settings: Settings) -> int:
    """Serve one client over standard input and output."""
    async with open_app(settings) as app:
        await serve_stdio(app, own_scope(settings))
    return 0


async def serve_alone(settings: Settings) -> int:
    """Serve any number of clients over HTTP until a signal, on a system without engines."""
    async with open_app(settings) as app:
        await serve_http(app, own_scope(settings), settings)
    return 0
