"""Calls registered tools: over HTTP at allowed hosts, or at an MCP server. It knows no store and no configuration."""
