"""Puts the benchmarks, which are programs and not a package, on the import path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
