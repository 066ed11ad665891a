from pathlib import Path

import pytest

from memos_mcp.ipc.run_dir import RunDir


@pytest.fixture
def place(tmp_path: Path) -> RunDir:
    place = RunDir(str(tmp_path / "home"))
    place.prepare()
    return place
