"""Files of the operator: private from their first byte, written whole, by one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memos_mcp.tool_calling.private_file import MAX_BYTES, FileUnusable, PrivateFile

WRITER = """
import sys
from pathlib import Path
from memos_mcp.tool_calling.private_file import PrivateFile
for number in range(20):
    with PrivateFile(Path(sys.argv[1])).edit() as content:
        content[f"{sys.argv[2]}-{number}"] = number
"""


def test_a_missing_file_is_an_empty_object(tmp_path: Path) -> None:
    assert PrivateFile(tmp_path / "none.json").read() == {}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_what_is_written(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with PrivateFile(tmp_path / "new" / "file.json").edit() as content:
            content["a"] = 1
            (partial,) = list((tmp_path / "new").iterdir())
            assert partial.name.endswith(".lock")
    finally:
        os.umask(before)
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert PrivateFile(tmp_path / "new" / "file.json").read() == {"a": 1}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_file_that_is_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": "canary"}')
    path.chmod(mode)
    with pytest.raises(FileUnusable, match=r"chmod 600") as refused, PrivateFile(path).edit():
        pass
    assert "canary" not in str(refused.value)
    assert path.read_text() == '{"a": "canary"}'


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": canary}', "[1]", '"canary"', "\udcff", "[" * 10_000, " " * MAX_BYTES + "{}"]
)
def test_a_broken_file_is_refused_without_its_content_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(0o600)
    with pytest.raises(FileUnusable, match=r"orrect it by hand") as refused, PrivateFile(path).edit():
        pass
    assert "canary" not in str(refused.value)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_an_edit_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = PrivateFile(tmp_path / "file.json")
    with file.edit() as content:
        content["a"] = 1
    with pytest.raises(ZeroDivisionError), file.edit() as content:
        content["a"] = 1 / 0
    assert file.read() == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.json.lock", "file.json"]


def test_two_processes_lose_none_of_their_changes(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(json.loads(path.read_text())) == 40


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileUnusable, match="cannot be written"), PrivateFile(tmp_path / "file" / "x.json").edit():
        pass
