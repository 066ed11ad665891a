"""A home that is ready for use, which tests copy. A new one takes seconds: a cluster and an index."""

import subprocess
import sys
from pathlib import Path

from tests.server_environment import server_environment


def prepare_home(home: Path) -> Path:
    """Create the record without rows and an empty index; no process runs at the end."""
    command = [sys.executable, "-m", "memos_mcp", "reindex"]
    subprocess.run(command, env=server_environment(MEMOS_HOME=home), check=True, capture_output=True)
    return home


def copy_home(source: Path, target: Path) -> Path:
    """Copy a home on which no process runs; its files belong to the same users."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True)
    return target
