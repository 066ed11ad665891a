"""`python benchmarks/quality DATA`: see `command.py`."""

import sys
from pathlib import Path


def run() -> None:
    """Start the command, beside whose folder stand the modules that all benchmarks share."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from quality.command import main

    main()


if __name__ == "__main__":
    run()
