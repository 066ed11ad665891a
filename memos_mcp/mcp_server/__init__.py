"""The MCP layer: the tools as a model sees them, on a low-level MCP server."""
