"""The orchestrator: asks memOS.as for memories and tools, hands a task to Cortex, calls the tools, keeps the outcome.

A client of the server over MCP, like any other: it opens no store and imports none of the server's rooms.
"""
