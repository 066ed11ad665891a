"""The syntax of source code: its definitions, and the names that it uses."""
