from pathlib import Path

import pytest

from memos_mcp.ipc.run_dir import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(str(tmp_path / "home"))
    place.prepare()
    return place
