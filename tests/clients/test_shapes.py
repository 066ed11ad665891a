"""Each client's file, in several shapes, byte for byte: before, connected, and disconnected again."""

from pathlib import Path

import pytest

from memos_mcp.clients.config_files import backup_of
from memos_mcp.clients.hook_entries import HookProgram
from memos_mcp.clients.installation import Installation, found_client, installation, removal
from memos_mcp.clients.known_clients import CLIENTS, KnownClient
from memos_mcp.clients.server_entry import LaunchedServer, RemoteServer
from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Invalid
from tests.clients.shapes import HOOKS, SERVERS, Shape, clients_of, file_of, sections, shapes

SERVER = LaunchedServer("/opt/memos/bin/memos-as", (), {"MEMOS_NAMESPACE": "work"})
REMOTE = RemoteServer("http://127.0.0.1:8766/mcp", token_file=Path("/home/ada/.local/share/memos-as/http-token"))
PROGRAM = HookProgram(("/opt/memos/bin/memos-as",), captures=True)
SHAPES = list(shapes())
FILES = [(client, folder) for folder in (SERVERS, HOOKS) for client in clients_of(folder)]

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System("linux", tmp_path, tmp_path / "project", {})


def install(shape: Shape, system: System) -> Installation:
    return installation(shape.client, "user", system, SERVER, PROGRAM if shape.folder == HOOKS else None)


def write_before(shape: Shape, system: System) -> Path:
    path = shape.path(system)
    if shape.before is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shape.before.encode())
    return path


@each_shape
def test_the_installation_writes_exactly_the_entry(shape: Shape, system: System) -> None:
    path = write_before(shape, system)
    install(shape, system).write()
    assert path.read_bytes().decode() == shape.connected


@each_shape
def test_a_second_installation_changes_nothing(shape: Shape, system: System) -> None:
    write_before(shape, system)
    install(shape, system).write()
    assert not install(shape, system).needed


@each_shape
def test_the_removal_gives_the_original_bytes_back(shape: Shape, system: System) -> None:
    path = write_before(shape, system)
    install(shape, system).write()
    removal(shape.client, "user", system).write()
    assert (path.read_bytes().decode() if path.exists() else None) == shape.before
    assert not backup_of(path).exists()


@each_shape
def test_the_removal_without_a_backup_keeps_everything_else(shape: Shape, system: System) -> None:
    path = write_before(shape, system)
    install(shape, system).write()
    backup_of(path).unlink(missing_ok=True)
    removal(shape.client, "user", system).write()
    if shape.name == "crowded":
        assert path.read_bytes().decode() == shape.before
    else:
        assert not path.exists() or "/opt/memos" not in path.read_text()


@each_shape
def test_a_file_that_was_changed_since_the_installation_keeps_the_change(shape: Shape, system: System) -> None:
    path = write_before(shape, system)
    install(shape, system).write()
    text = path.read_bytes().decode() + "\n"
    path.write_bytes(text.encode())
    removal(shape.client, "user", system).write()
    kept = path.read_bytes().decode()
    assert kept == f"{shape.before}\n" if shape.name == "crowded" else "/opt/memos" not in kept
    assert backup_of(path).read_bytes().decode() == text


@each_shape
def test_a_reinstallation_for_another_namespace_can_still_be_undone(shape: Shape, system: System) -> None:
    path = write_before(shape, system)
    install(shape, system).write()
    installation(shape.client, "user", system, LaunchedServer("memos-as", ("--in-process",))).write()
    assert found_client(shape.client, "user", system) is not None
    removal(shape.client, "user", system).write()
    assert (path.read_bytes().decode() if path.exists() else None) == shape.before


@pytest.mark.parametrize(("client", "folder"), FILES, ids=[f"{client.name} {folder.name}" for client, folder in FILES])
def test_a_broken_file_is_refused_with_its_position_and_nothing_is_written(
    client: KnownClient, folder: Path, system: System
) -> None:
    path, texts = file_of(client, folder).path(system), sections(client, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(texts["broken"])
    with pytest.raises(Invalid) as refused:
        installation(client, "user", system, SERVER, PROGRAM if folder == HOOKS else None)
    assert str(refused.value).replace(str(path), "FILE") == texts["broken, refused"].strip()
    assert [file.read_text() for file in system.home.rglob("*") if file.is_file()] == [texts["broken"]]


@each_client
def test_a_server_over_http_has_the_entry_of_the_client_without_the_token(client: KnownClient, system: System) -> None:
    expected = sections(client)["none, over HTTP"]
    try:
        after = installation(client, "user", system, REMOTE).files[0].after
    except Invalid as refused:
        after = f"{refused}\n"
    assert after == expected


@each_client
def test_a_server_over_http_that_needs_no_token_gets_none(client: KnownClient, system: System) -> None:
    if client.remote is None:
        return
    after = installation(client, "user", system, RemoteServer(REMOTE.url, sends_token=False)).files[0].after
    assert after is not None
    assert "MEMOS_TOKEN" not in after
    assert "Authorization" not in after
