"""`python benchmarks/quality DATA`: see `command.py`."""

import sys
from pathlib import Path


def run() -> None:
    """Put the modules that all benchmarks share on the import path, and start the command."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from quality.command import main

    main()


if __name__ == "__main__":
    run()
