"""One server of tools for all tests of the orchestrator."""

from tests.tool_calling.conftest import tool_host, tools

__all__ = ["tool_host", "tools"]
