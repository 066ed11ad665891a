"""How a client's file is written: mode, links, backups, and what is not overwritten."""

import os
import stat
from pathlib import Path

import pytest

from memos_mcp.clients.config_files import backup_of
from memos_mcp.clients.installation import found_client, installation, removal
from memos_mcp.clients.known_clients import CLIENTS
from memos_mcp.clients.server_entry import LaunchedServer
from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Conflict, Invalid

CURSOR = next(client for client in CLIENTS if client.name == "cursor")
SERVER = LaunchedServer("memos-as")


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System("linux", tmp_path, tmp_path / "shop", {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".cursor/mcp.json"
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"docs": {"url": "https://docs.example.com/mcp"}}}')
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_keeps_its_mode_and_its_backup_is_private(system: System, file: Path) -> None:
    file.chmod(0o640)
    before = file.read_bytes()
    installation(CURSOR, "user", system, SERVER).write()
    assert mode(file) == 0o640
    assert backup_of(file).read_bytes() == before
    assert mode(backup_of(file)) == 0o600


def test_a_new_file_is_private_for_a_user_and_readable_in_a_project(system: System) -> None:
    installation(CURSOR, "user", system, SERVER).write()
    installation(CURSOR, "project", system, SERVER).write()
    assert mode(system.home / ".cursor/mcp.json") == 0o600
    assert mode(system.project / ".cursor/mcp.json") == 0o644
    assert mode(system.project / ".cursor") == 0o755 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_stays_a_link_and_its_target_is_changed(system: System, file: Path) -> None:
    target = system.home / "dotfiles/cursor.json"
    target.parent.mkdir()
    file.rename(target)
    file.symlink_to("../dotfiles/cursor.json")
    installation(CURSOR, "user", system, SERVER).write()
    assert file.is_symlink()
    assert "memos-as" in target.read_text()
    assert [path.name for path in target.parent.iterdir()] == ["cursor.json"]
    assert sorted(path.name for path in file.parent.iterdir()) == ["mcp.json", "mcp.json.memos-as.bak"]


def test_a_file_that_another_program_changes_meanwhile_is_not_overwritten(system: System, file: Path) -> None:
    change = installation(CURSOR, "user", system, SERVER)
    file.write_text("{}")
    with pytest.raises(Conflict):
        change.write()
    assert file.read_text() == "{}"


def test_a_failure_while_writing_leaves_the_file_complete(system: System, file: Path) -> None:
    before = file.read_bytes()
    change = installation(CURSOR, "user", system, SERVER)
    backup_of(file).mkdir()
    with pytest.raises(Invalid):
        change.write()
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
def test_a_file_without_content_is_like_a_new_one(system: System, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    installation(CURSOR, "user", system, SERVER).write()
    assert file.read_text().startswith('{\n  "mcpServers"')
    removal(CURSOR, "user", system).write()
    assert file.read_bytes() == content


def test_a_file_that_is_not_utf8_is_refused(system: System, file: Path) -> None:
    file.write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(Invalid, match="not UTF-8 at byte 7"):
        installation(CURSOR, "user", system, SERVER)


def test_the_fields_and_variables_that_a_user_has_added_stay(system: System, file: Path) -> None:
    file.write_text('{"mcpServers": {"memos": {"command": "old", "env": {"A": "1"}, "disabled": true, "url": "x"}}}')
    installation(CURSOR, "user", system, LaunchedServer("memos-as", (), {"MEMOS_NAMESPACE": "work"})).write()
    assert file.read_text() == (
        '{"mcpServers": {"memos": {"command": "memos-as", "args": [], '
        '"env": {"A": "1", "MEMOS_NAMESPACE": "work"}, "disabled": true}}}'
    )


def test_an_entry_whose_program_was_removed_is_reported(system: System, file: Path) -> None:
    installation(CURSOR, "user", system, LaunchedServer("/nowhere/memos-as")).write()
    found = found_client(CURSOR, "user", system)
    assert found is not None
    assert found.state == "program missing"
    assert found_client(CURSOR, "project", system) is None
    file.write_text("{")
    broken = found_client(CURSOR, "user", system)
    assert broken is not None
    assert broken.state == "broken"


def test_a_client_without_a_file_of_projects_is_refused_for_one(system: System) -> None:
    windsurf = next(client for client in CLIENTS if client.name == "windsurf")
    with pytest.raises(Invalid, match="Leave out --scope project"):
        installation(windsurf, "project", system, SERVER)
