from pathlib import Path

import pytest

from memos_mcp.ipc.run_dir import RunDir


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(str(tmp_path / "home"))
    run_dir.prepare()
    return run_dir
