"""Engines as processes of their own: one for a data folder, started, replaced, killed and ended."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from memos_mcp.cli import engine_control
from memos_mcp.cli.command_line import main
from memos_mcp.engine import control
from memos_mcp.engine.clients import FAREWELL_SECONDS
from memos_mcp.engine.run import LOOK_SECONDS
from memos_mcp.ipc.handshake import decode, greeting
from memos_mcp.ipc.launch import LISTENING
from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir
from memos_mcp.postgres.connection import connect
from tests.cli.test_command_line import running_on
from tests.transports.test_jsonrpc_lines import HELLO, notification, request

COMMAND = [sys.executable, "-m", "memos_mcp"]


@pytest.fixture(scope="module")
def place() -> Iterator[RunDir]:
    """A data folder that these tests share, so that the model is built once. No process may be left on it."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield RunDir(f"{folder}/home")
        assert running_on(Path(folder)) == []


@pytest.fixture(autouse=True)
def _environment(place: RunDir, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("MEMOS_HOME", place.home)


class Guest:
    """A client of the socket, in the scope of `namespace`."""

    def __init__(self, place: RunDir, namespace: str = "team", **told: Any) -> None:
        deadline = time.monotonic() + 30
        while (connection := place.connect()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        connection.settimeout(20)
        self._connection, self._stream = connection, connection.makefile("rb")
        first = decode(greeting("serve", {"MEMOS_NAMESPACE": namespace})) or {}
        self.say(first | told)
        self.answer = self.hear()

    def say(self, *messages: dict[str, Any]) -> None:
        self._connection.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def hear(self) -> dict[str, Any]:
        """Return the next message, or nothing at the end."""
        message: dict[str, Any] = json.loads(self._stream.readline() or b"{}")
        return message

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, after the handshake; return its structured answer."""
        self.say(request("initialize", "hello", **HELLO), notification("notifications/initialized"))
        self.say(request("tools/call", 1, name=name, arguments=arguments))
        assert self.hear()["id"] == "hello"
        answer: dict[str, Any] = self.hear()["result"]["structuredContent"]
        return answer

    def leave(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)
        while self._stream.readline():
            pass
        self._stream.close()
        self._connection.close()


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command's process, which is told to end at the end, and must end well if it has not been killed."""
    with subprocess.Popen(
        [*COMMAND, *arguments], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
            process.terminate()
            assert process.wait(30) in {0, -signal.SIGKILL}
        finally:
            process.kill()


@contextmanager
def background(count: int = 1, **environment: str) -> Iterator[dict[bytes, list[subprocess.Popen[bytes]]]]:
    """Start so many engines at once, as clients do; lend them by what they say when they are ready, or gone."""
    pipes = [os.pipe() for _ in range(count)]
    command, environment = [*COMMAND, "engine", "--ready"], {**os.environ, **environment}
    processes = [subprocess.Popen([*command, str(tell)], env=environment, pass_fds=[tell]) for _, tell in pipes]
    try:
        said: dict[bytes, list[subprocess.Popen[bytes]]] = {}
        for (ready, tell), process in zip(pipes, processes, strict=True):
            os.close(tell)
            said.setdefault(os.read(ready, 1), []).append(process)
            os.close(ready)
        yield said
    finally:
        for process in processes:
            process.kill()
            process.wait()


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    code = main(("status", "--json"))
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if told["running"] else 3)
    assert "answer" not in told
    return told


def test_what_was_acknowledged_outlives_a_killed_engine_and_no_namespace_sees_another(place: RunDir) -> None:
    with running("engine") as first:
        mine, others = Guest(place), Guest(place, "others")
        stored = mine.call("store_memory", content="The gate code is on the blue note.")
        assert others.call("query_memory", query="gate code")["total"] == 0
        first.kill()
        assert mine.hear() == {}
    assert main(("stop",)) == 0
    assert not Path(place.home, "postgres", "data", "postmaster.pid").exists()
    assert [file.name for file in Path(place.folder).iterdir()] == [ENGINE_LOCK]
    with running("engine"):
        again = Guest(place)
        found = again.call("query_memory", query="gate code")["memories"]
        assert [memory["memory_id"] for memory in found] == [stored["memory_id"]]
        again.leave()
        mine.leave()
        others.leave()


def test_of_many_engines_that_start_at_once_one_serves_and_the_others_go_quietly(
    place: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with background(5) as started:
        (one,), others = started[LISTENING], started[b""]
        assert [process.wait(20) for process in others] == [0, 0, 0, 0]
        assert status(capsys)["pid"] == place.holder() == one.pid

        assert main(("engine",)) == 1
        assert capsys.readouterr().err == f"memos-as: An engine (process {one.pid}) already serves {place.home}.\n"
        assert main(("stop",)) == 0
        assert capsys.readouterr().out == f"the engine (process {one.pid}) has left\n"
        assert one.wait(10) == 0


def test_an_engine_in_the_background_leaves_soon_after_its_last_client_and_logs_to_its_file(place: RunDir) -> None:
    with background(MEMOS_IDLE_SECONDS="0", MEMOS_HTTP="true", MEMOS_PORT="0") as started:
        (process,) = started[LISTENING]
        guest = Guest(place)
        guest.call("store_memory", content="A last thought.")
        time.sleep(2 * LOOK_SECONDS)
        assert process.poll() is None
        guest.leave()
        assert process.wait(20) == 0
    log = Path(place.log).read_text()
    assert re.search(rf"serves {re.escape(place.home)}$", log, re.MULTILINE)
    assert "memos-as serves http://127.0.0.1:" in log
    assert re.search(r"leaves: nobody came for 0 s$", log, re.MULTILINE)
    assert not Path(place.folder, "engine.sock").exists()


def test_serve_takes_over_from_the_background_and_gives_way_to_nobody_but_stop(
    place: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with background() as started:
        (process,) = started[LISTENING]
        guest = Guest(place)
        assert main(("serve", "--host", "0.0.0.0")) == 1, "strangers cannot be served,"
        assert process.poll() is None, "and nobody leaves for that"
        with running("serve", "--port", "0") as serving:
            assert guest.hear() == {"memos-as": 1, "answer": "leaving"}
            guest.leave()
            assert process.wait(15) == 0
            assert serving.stderr is not None
            url = re.search(r"http://\S+/mcp", serving.stderr.readline())
            told = status(capsys)
            assert url is not None
            assert (told["http"], told["foreground"], told["idle_leaves_after"]) == (url[0], True, None)

            newer, other = Guest(place, version="99.0"), Guest(place, settings={"MEMOS_QDRANT_PREFIX": "mine"})
            assert (newer.answer["answer"], other.answer["answer"]) == ("welcome", "refused")
            capsys.readouterr()
            assert main(("serve", "--port", "0")) == 1
            assert capsys.readouterr().err.startswith(
                f"memos-as: memos-as serve (process {serving.pid}) already serves"
            )
            newer.leave()
            other.leave()
            assert main(("stop",)) == 0
            assert serving.wait(10) == 0
        assert status(capsys)["running"] is False


def test_a_frozen_engine_is_named_and_stop_ends_it_with_what_it_left_behind(
    place: RunDir, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("engine") as frozen:
        guest = Guest(place)
        guest.call("query_memory")
        frozen.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(control, "ANSWER_SECONDS", 0.2)
        monkeypatch.setattr(engine_control, "SIGNAL_SECONDS", 0.2)
        assert main(("status",)) == 1
        assert f"(process {frozen.pid}) does not answer" in capsys.readouterr().err
        assert main(("stop",)) == 0
        assert "SIGKILL ended it" in capsys.readouterr().out
        guest.leave()
    assert {file.name for file in Path(place.folder).iterdir()} <= {ENGINE_LOCK, START_LOCK}
    assert running_on(Path(place.home)) == []


def test_who_was_started_to_outlive_the_terminal_does(place: RunDir) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does: it is inherited
    try:
        with running("engine") as engine:
            guest = Guest(place)
            engine.send_signal(signal.SIGHUP)
            assert guest.call("query_memory", limit=1)["memories"] is not None
            engine.send_signal(signal.SIGTERM)
            assert guest.hear() == {"memos-as": 1, "answer": "leaving"}
            guest.leave()
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_signal_lets_clients_follow_and_a_second_one_waits_for_nothing(place: RunDir) -> None:
    with running("engine") as leaving:
        guest = Guest(place)
        leaving.send_signal(signal.SIGHUP)
        assert guest.hear() == {"memos-as": 1, "answer": "leaving"}
        began = time.monotonic()
        leaving.send_signal(signal.SIGINT)
        assert guest.hear() == {}
        assert time.monotonic() - began < FAREWELL_SECONDS / 2
        assert leaving.wait(30) == 0
        guest.leave()


@pytest.mark.anyio
async def test_a_database_of_a_newer_version_is_told_to_every_client_and_ends_the_engine(
    place: RunDir, database_url: str
) -> None:
    connection = await connect(database_url)
    await connection.execute("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later', '')")
    await connection.close(timeout=5)
    with running("engine", MEMOS_DATABASE_URL=database_url) as process:
        guest = Guest(place, settings={"MEMOS_DATABASE_URL": database_url})
        told = guest.answer if guest.answer["answer"] == "refused" else guest.hear()
        assert told["answer"] == "refused"
        assert "a newer version was here" in told["reason"]
        guest.leave()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == f"memos-as: {told['reason']}\n"
        process.returncode = 0


def test_a_data_folder_that_cannot_be_made_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMOS_HOME", str(tmp_path / "file" / "home"))
    assert main(("engine",)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"memos-as: {tmp_path / 'file' / 'home'} cannot be used: Not a directory.")


def test_without_an_engine_status_says_so_and_stop_has_nothing_to_do(
    place: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(("status",)) == 3
    assert main(("stop",)) == 0
    assert capsys.readouterr().out == f"no engine runs for {place.home}\n" * 2


@pytest.mark.parametrize("command", ["status", "stop"])
def test_a_data_folder_of_another_user_is_told_in_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # what root, who may run this test, never meets

    monkeypatch.setenv("MEMOS_HOME", str(tmp_path))
    monkeypatch.setattr(RunDir, "connect", refuse)
    monkeypatch.setattr(RunDir, "hold", refuse)
    assert main((command,)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"memos-as: {tmp_path} cannot be used: Permission denied.")


def test_a_socket_that_cannot_be_made_leaves_http(
    place: RunDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_place: RunDir) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(RunDir, "listen", refuse)
    with caplog.at_level(logging.WARNING):
        assert engine_control._listener(place) is None
    assert "serving HTTP alone" in caplog.text


def test_the_log_is_bounded_and_what_is_printed_goes_to_its_newest_file(tmp_path: Path) -> None:
    program = """if True:
        import logging, os, pathlib, sys
        from memos_mcp.cli import engine_control
        engine_control.LOG_BYTES = 2_000
        logging.basicConfig(level="WARNING", format="%(message)s")
        engine_control._log_to_file(pathlib.Path(sys.argv[1]))
        for number in range(400):
            logging.getLogger("memos_mcp.engine.run").info("line %d of the engine", number)
            logging.getLogger("memos_mcp.mcp_server").info("not asked for")
        os.write(1, b"printed by a library\\n")
        os.write(2, b"memos-as: a last word\\n")
    """
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "engine.log")], check=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "engine.log",
        "engine.log.1",
        "engine.log.2",
        "engine.log.3",
    ]
    newest = (tmp_path / "engine.log").read_text().splitlines()
    assert newest[-3:] == ["line 399 of the engine", "printed by a library", "memos-as: a last word"]
    assert all(file.stat().st_size <= 2_100 and "not asked" not in file.read_text() for file in tmp_path.iterdir())
