import os
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs.macos
import pytest

from memos_mcp.ipc.run_dir import ENGINE_LOCK, SOCKET, START_LOCK, RunDir, home_of, settings_in
from memos_mcp.settings import Settings


def test_the_folder_is_its_owners_alone(place: RunDir) -> None:
    assert mode_of(place.folder) == 0o700


def test_a_folder_that_is_too_open_is_closed(place: RunDir) -> None:
    Path(place.folder).chmod(0o755)
    place.prepare()
    assert mode_of(place.folder) == 0o700


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "run").symlink_to("elsewhere")
    with pytest.raises(PermissionError, match="not a folder of this user") as refused:
        RunDir(str(tmp_path)).prepare()
    assert refused.value.strerror


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(place: RunDir) -> None:
    os.chown(place.folder, 65534, 65534)
    with pytest.raises(PermissionError, match="not a folder of this user"):
        place.prepare()


def test_a_lock_has_one_holder_until_it_lets_go(place: RunDir) -> None:
    held = place.hold(START_LOCK)
    assert held is not None
    assert place.hold(START_LOCK) is None
    os.close(held)
    again = place.hold(START_LOCK)
    assert again is not None
    os.close(again)


def test_a_lock_does_not_outlive_the_process_that_held_it(place: RunDir) -> None:
    program = (
        f"import os; from {RunDir.__module__} import RunDir; RunDir({place.home!r}).hold({ENGINE_LOCK!r}); os.abort()"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    held = place.hold(ENGINE_LOCK)
    assert held is not None
    os.close(held)


def test_the_holder_of_the_engines_lock_is_named_in_it(place: RunDir) -> None:
    assert place.holder() is None
    held = place.hold(ENGINE_LOCK)
    assert held is not None
    assert place.holder() is None, "it has not said so yet"
    os.write(held, b"4711")
    assert place.holder() == 4711
    os.close(held)
    assert place.holder() is None, "what it wrote is still there, but it is gone"


def test_without_a_folder_there_is_nobody(tmp_path: Path) -> None:
    place = RunDir(str(tmp_path / "none"))
    assert place.holder() is None
    assert place.connect() is None


def test_a_socket_that_a_killed_engine_left_is_nobody_and_is_replaced(place: RunDir) -> None:
    place.listen().close()
    assert Path(place.folder, SOCKET).exists()
    assert place.connect() is None
    with place.listen():
        connection = place.connect()
        assert connection is not None
        connection.close()
    place.leave()
    assert not Path(place.folder, SOCKET).exists()
    place.leave()


def test_a_path_too_long_for_a_socket_is_reached_from_inside_without_moving_anybody(tmp_path: Path) -> None:
    place = RunDir(str(tmp_path / ("d" * 120) / ("é" * 100)))
    before = Path.cwd()
    assert place.connect() is None
    place.prepare()
    with place.listen() as listener:
        connection = place.connect()
        assert connection is not None
        with connection:
            listener.settimeout(5)
            with listener.accept()[0] as accepted:
                accepted.sendall(b"!")
                connection.settimeout(5)
                assert connection.recv(1) == b"!"
    assert Path.cwd() == before
    place.leave()
    assert place.connect() is None


def test_a_connection_does_not_block(place: RunDir) -> None:
    with place.listen() as listener, pytest.raises(BlockingIOError):
        listener.accept()
    with place.listen():
        connection = place.connect()
        assert connection is not None
        with connection, pytest.raises(BlockingIOError):
            connection.recv(1)


def test_somebody_elses_trouble_is_not_taken_for_an_absent_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        RunDir(str(tmp_path / "file")).connect()


def test_settings_are_read_in_any_case_and_not_when_empty() -> None:
    environment = {"memos_home": "/h", "MEMOS_NAMESPACE": "", "Memos_Agent_Id": "ada", "OTHER": "x", "MEMO": "y"}
    assert settings_in(environment) == {"MEMOS_HOME": "/h", "MEMOS_AGENT_ID": "ada"}


@pytest.mark.parametrize("given", ["/data", "~/memory", "~", "memory", "./memory", ""])
def test_a_home_is_the_one_that_the_settings_read(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMOS_HOME", given)
    assert Path(home_of(os.environ)) == Settings().home


@pytest.mark.parametrize("data_home", [None, "", " ", "/data", "/data/", "relative", "~/data"])
def test_the_default_home_is_where_the_system_keeps_a_users_data(
    data_home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMOS_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if data_home is not None:
        monkeypatch.setenv("XDG_DATA_HOME", data_home)
    assert Path(home_of(os.environ)) == platformdirs.user_data_path("memos-as") == Settings().home
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Path(home_of(os.environ)) == platformdirs.macos.MacOS("memos-as").user_data_path


def test_a_full_path_needs_no_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert home_of({"MEMOS_HOME": "/data"}) == "/data"


def test_who_would_have_to_queue_for_a_place_in_the_queue_does_not_stand_still(
    place: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memos_mcp.ipc.run_dir.BACKLOG", 0)
    with place.listen():
        first = place.connect()
        assert first is not None
        with first:
            assert place.connect() is None


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)
