"""The configuration files of MCP clients: where they are, the form of an entry for this server, and how it is written.

Each format is edited as text, by the positions that its parser reports: comments, order and spaces stay unchanged.
"""
