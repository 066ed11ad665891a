"""How MCP reaches the server: stdio, HTTP, and newline-delimited JSON-RPC over any pair of byte streams."""
