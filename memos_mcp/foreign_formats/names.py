"""The names of the formats. The command line offers them without importing their readers."""

from typing import Final

FORMAT_NAMES: Final = (
    "server-memory",
    "mem0",
    "mcp-memory-service",
    "basic-memory",
    "chatgpt",
    "claude",
    "markdown",
)
