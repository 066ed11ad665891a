"""Serves the client that has the bundle."""

import sys

from memos_mcp.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
