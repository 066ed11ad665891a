"""`python -m memos_mcp` and the command `memos-as`."""

import sys

from memos_mcp.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
