"""The orchestrator: asks memOS.as for memories and tools, gives a task to Cortex, calls the tools, keeps the outcome.

It is a client of the server over MCP like any other: it opens no store and imports no package of the server.
"""
