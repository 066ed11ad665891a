"""What the program leaves on the disk is nobody else's to read."""

import os
import subprocess
import sys
from pathlib import Path

READ_BY_OTHERS = 0o044
WRITTEN_BY_OTHERS = 0o022


def test_no_other_user_can_read_or_write_in_the_home(home: Path) -> None:
    home /= "new"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_")}
    subprocess.run(
        [sys.executable, "-m", "memos_mcp", "doctor"],
        env={**kept, "MEMOS_HOME": str(home)},
        umask=0o022,
        check=True,
        timeout=60,
    )
    left = [home, *home.iterdir()]
    assert {"index", "models", "postgres", "postgres.lock"} <= {path.name for path in left}
    assert [path.name for path in left if path.stat().st_mode & (READ_BY_OTHERS | WRITTEN_BY_OTHERS)] == []
