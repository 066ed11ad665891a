import os
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs.macos
import pytest

from memos_mcp.ipc.run_dir import ENGINE_LOCK, SOCKET, START_LOCK, RunDir, home_of, settings_in
from memos_mcp.settings import Settings


def test_only_the_owner_can_access_the_folder(run_dir: RunDir) -> None:
    assert mode_of(run_dir.folder) == 0o700


def test_the_permissions_of_a_folder_that_is_too_open_are_corrected(run_dir: RunDir) -> None:
    Path(run_dir.folder).chmod(0o755)
    run_dir.prepare()
    assert mode_of(run_dir.folder) == 0o700


def test_a_link_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "run").symlink_to("elsewhere")
    with pytest.raises(PermissionError, match="not a folder of this user") as refused:
        RunDir(str(tmp_path)).prepare()
    assert refused.value.strerror


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(run_dir: RunDir) -> None:
    os.chown(run_dir.folder, 65534, 65534)
    with pytest.raises(PermissionError, match="not a folder of this user"):
        run_dir.prepare()


def test_a_lock_has_one_holder_until_it_is_released(run_dir: RunDir) -> None:
    held = run_dir.try_lock(START_LOCK)
    assert held is not None
    assert run_dir.try_lock(START_LOCK) is None
    os.close(held)
    again = run_dir.try_lock(START_LOCK)
    assert again is not None
    os.close(again)


def test_a_lock_does_not_outlive_the_process_that_held_it(run_dir: RunDir) -> None:
    program = (
        f"import os; from {RunDir.__module__} import RunDir; RunDir({run_dir.home!r}).hold({ENGINE_LOCK!r}); os.abort()"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    held = run_dir.try_lock(ENGINE_LOCK)
    assert held is not None
    os.close(held)


def test_the_engines_lock_holds_the_engines_process_id(run_dir: RunDir) -> None:
    assert run_dir.engine_pid() is None
    held = run_dir.try_lock(ENGINE_LOCK)
    assert held is not None
    assert run_dir.engine_pid() is None, "it has not written its id yet"
    os.write(held, b"4711")
    assert run_dir.engine_pid() == 4711
    os.close(held)
    assert run_dir.engine_pid() is None, "its id is still in the file, but it has exited"


def test_there_is_no_engine_without_a_folder(tmp_path: Path) -> None:
    run_dir = RunDir(str(tmp_path / "none"))
    assert run_dir.engine_pid() is None
    assert run_dir.connect() is None


def test_the_socket_of_a_killed_engine_is_replaced(run_dir: RunDir) -> None:
    run_dir.listen().close()
    assert Path(run_dir.folder, SOCKET).exists()
    assert run_dir.connect() is None
    with run_dir.listen():
        connection = run_dir.connect()
        assert connection is not None
        connection.close()
    run_dir.remove_socket()
    assert not Path(run_dir.folder, SOCKET).exists()
    run_dir.remove_socket()


def test_a_path_too_long_for_a_socket_works_and_keeps_the_working_directory(tmp_path: Path) -> None:
    run_dir = RunDir(str(tmp_path / ("d" * 120) / ("é" * 100)))
    before = Path.cwd()
    assert run_dir.connect() is None
    run_dir.prepare()
    with run_dir.listen() as listener:
        connection = run_dir.connect()
        assert connection is not None
        with connection:
            listener.settimeout(5)
            with listener.accept()[0] as accepted:
                accepted.sendall(b"!")
                connection.settimeout(5)
                assert connection.recv(1) == b"!"
    assert Path.cwd() == before
    run_dir.remove_socket()
    assert run_dir.connect() is None


def test_a_connection_does_not_block(run_dir: RunDir) -> None:
    with run_dir.listen() as listener, pytest.raises(BlockingIOError):
        listener.accept()
    with run_dir.listen():
        connection = run_dir.connect()
        assert connection is not None
        with connection, pytest.raises(BlockingIOError):
            connection.recv(1)


def test_other_errors_are_not_taken_for_an_absent_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        RunDir(str(tmp_path / "file")).connect()


def test_settings_are_read_in_any_case_and_empty_ones_are_ignored() -> None:
    environment = {"memos_home": "/h", "MEMOS_NAMESPACE": "", "Memos_Agent_Id": "ada", "OTHER": "x", "MEMO": "y"}
    assert settings_in(environment) == {"MEMOS_HOME": "/h", "MEMOS_AGENT_ID": "ada"}


@pytest.mark.parametrize("given", ["/data", "~/memory", "~", "memory", "./memory", ""])
def test_the_home_is_the_same_as_in_the_settings(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMOS_HOME", given)
    assert Path(home_of(os.environ)) == Settings().home


@pytest.mark.parametrize("data_home", [None, "", " ", "/data", "/data/", "relative", "~/data"])
def test_the_default_home_is_in_the_platforms_folder_for_user_data(
    data_home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMOS_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if data_home is not None:
        monkeypatch.setenv("XDG_DATA_HOME", data_home)
    assert Path(home_of(os.environ)) == platformdirs.user_data_path("memos-as") == Settings().home
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Path(home_of(os.environ)) == platformdirs.macos.MacOS("memos-as").user_data_path


def test_a_full_path_needs_no_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "removed").mkdir()
    monkeypatch.chdir(tmp_path / "removed")
    (tmp_path / "removed").rmdir()
    assert home_of({"MEMOS_HOME": "/data"}) == "/data"


def test_connecting_does_not_block_when_the_backlog_is_full(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memos_mcp.ipc.run_dir.BACKLOG", 0)
    with run_dir.listen():
        first = run_dir.connect()
        assert first is not None
        with first:
            assert run_dir.connect() is None


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)
