"""A typed client of memOS.as for programs: its tools as methods, over stdio or a URL, with connections that come back.

It is a client over MCP like any other: it imports nothing of the server.
"""

from memos_mcp.client.client_errors import CallRefused, MemosClientError, ServerUnavailable, UnreadableAnswer
from memos_mcp.client.memos_client import MemosClient
from memos_mcp.client.reconnecting_client import Launch

__all__ = ["CallRefused", "Launch", "MemosClient", "MemosClientError", "ServerUnavailable", "UnreadableAnswer"]
