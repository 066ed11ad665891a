"""The process that an MCP client launches: forwards lines between the client and the engine. Standard library only."""
