"""The benchmarks are programs of their own, which import their neighbours."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
