"""memOS.as: a memory and a toolbox for LLM agents, served over MCP."""

__version__ = "0.1.0"
