"""Engines as separate processes: started, replaced, killed and stopped."""

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
from memos_mcp.engine.clients import NOTICE_SECONDS
from memos_mcp.engine.run import IDLE_CHECK_SECONDS
from memos_mcp.ipc.handshake import decode, request_line
from memos_mcp.ipc.launch import LISTENING
from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir
from memos_mcp.postgres.connection import connect
from tests.cli.test_command_line import running_on
from tests.prepared_home import copy_home
from tests.transports.test_jsonrpc_lines import HELLO, notification, request

COMMAND = [sys.executable, "-m", "memos_mcp"]


@pytest.fixture(scope="module")
def run_dir(home_template: Path) -> Iterator[RunDir]:
    """A data folder that these tests share. No process may still use it at the end."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield RunDir(str(copy_home(home_template, Path(folder, "home"))))
        assert running_on(Path(folder)) == []


@pytest.fixture(autouse=True)
def _environment(run_dir: RunDir, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("MEMOS_HOME", run_dir.home)


class SocketClient:
    """A client of the socket, in the scope of `namespace`."""

    def __init__(self, run_dir: RunDir, namespace: str = "team", **fields: Any) -> None:
        deadline = time.monotonic() + 30
        while (connection := run_dir.connect()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        connection.settimeout(20)
        self._connection, self._stream = connection, connection.makefile("rb")
        first = decode(request_line("serve", {"MEMOS_NAMESPACE": namespace})) or {}
        self.send(first | fields)
        self.answer = self.read()

    def send(self, *messages: dict[str, Any]) -> None:
        self._connection.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def read(self) -> dict[str, Any]:
        """Return the next message, or nothing at the end."""
        message: dict[str, Any] = json.loads(self._stream.readline() or b"{}")
        return message

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, after the handshake; return its structured answer."""
        self.send(request("initialize", "hello", **HELLO), notification("notifications/initialized"))
        self.send(request("tools/call", 1, name=name, arguments=arguments))
        assert self.read()["id"] == "hello"
        answer: dict[str, Any] = self.read()["result"]["structuredContent"]
        return answer

    def leave(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)
        while self._stream.readline():
            pass
        self._stream.close()
        self._connection.close()


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the end of the context; it must then exit cleanly, unless it has been killed."""
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
    """Start engines at once, as clients do; yield them by what they write when they listen, or b"" on exit."""
    pipes = [os.pipe() for _ in range(count)]
    command, environment = [*COMMAND, "engine", "--ready"], {**os.environ, **environment}
    processes = [subprocess.Popen([*command, str(writer)], env=environment, pass_fds=[writer]) for _, writer in pipes]
    try:
        started: dict[bytes, list[subprocess.Popen[bytes]]] = {}
        for (reader, writer), process in zip(pipes, processes, strict=True):
            os.close(writer)
            started.setdefault(os.read(reader, 1), []).append(process)
            os.close(reader)
        yield started
    finally:
        for process in processes:
            process.kill()
            process.wait()


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    code = main(("status", "--json"))
    payload: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if payload["running"] else 3)
    assert "answer" not in payload
    return payload


def test_acknowledged_memories_outlive_a_killed_engine_and_no_namespace_sees_another(run_dir: RunDir) -> None:
    with running("engine") as first:
        mine, others = SocketClient(run_dir), SocketClient(run_dir, "others")
        stored = mine.call("store_memory", content="The gate code is on the blue note.")
        assert others.call("query_memory", query="gate code")["total"] == 0
        first.kill()
        assert mine.read() == {}
    assert main(("stop",)) == 0
    assert not Path(run_dir.home, "postgres", "data", "postmaster.pid").exists()
    assert [file.name for file in Path(run_dir.folder).iterdir()] == [ENGINE_LOCK]
    with running("engine"):
        again = SocketClient(run_dir)
        found = again.call("query_memory", query="gate code")["memories"]
        assert [memory["memory_id"] for memory in found] == [stored["memory_id"]]
        again.leave()
        mine.leave()
        others.leave()


def test_of_engines_that_start_at_once_one_serves_and_the_others_exit_quietly(
    run_dir: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with background(3) as started:
        (one,), others = started[LISTENING], started[b""]
        assert [process.wait(20) for process in others] == [0, 0]
        assert status(capsys)["pid"] == run_dir.engine_pid() == one.pid

        assert main(("engine",)) == 1
        assert capsys.readouterr().err == f"memos-as: An engine (process {one.pid}) already serves {run_dir.home}.\n"
        assert main(("stop",)) == 0
        assert capsys.readouterr().out == f"the engine (process {one.pid}) has stopped\n"
        assert one.wait(10) == 0


def test_a_background_engine_stops_soon_after_its_last_client_and_logs_to_its_file(run_dir: RunDir) -> None:
    with background(MEMOS_IDLE_SECONDS="0", MEMOS_HTTP="true", MEMOS_PORT="0") as started:
        (process,) = started[LISTENING]
        client = SocketClient(run_dir)
        client.call("store_memory", content="A last thought.")
        time.sleep(2 * IDLE_CHECK_SECONDS)
        assert process.poll() is None
        client.leave()
        assert process.wait(20) == 0
    log = Path(run_dir.log).read_text()
    assert re.search(rf"serves {re.escape(run_dir.home)}$", log, re.MULTILINE)
    assert "memos-as serves http://127.0.0.1:" in log
    assert re.search(r"stopping: no client for 0 s$", log, re.MULTILINE)
    assert not Path(run_dir.folder, "engine.sock").exists()


def test_serve_replaces_a_background_engine_and_is_replaced_by_none(
    run_dir: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    with background() as started:
        (process,) = started[LISTENING]
        client = SocketClient(run_dir)
        assert main(("serve", "--host", "0.0.0.0")) == 1, "other machines are refused,"
        assert process.poll() is None, "and no engine stops for that"
        with running("serve", "--port", "0") as serving:
            assert client.read() == {"memos-as": 1, "answer": "leaving"}
            client.leave()
            assert process.wait(15) == 0
            assert serving.stderr is not None
            url = re.search(r"http://\S+/mcp", serving.stderr.readline())
            payload = status(capsys)
            assert url is not None
            assert (payload["http"], payload["foreground"], payload["idle_leaves_after"]) == (url[0], True, None)

            newer, other = (
                SocketClient(run_dir, version="99.0"),
                SocketClient(run_dir, settings={"MEMOS_QDRANT_PREFIX": "mine"}),
            )
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


def test_a_frozen_engine_is_named_and_stop_kills_it_and_its_postgres(
    run_dir: RunDir, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("engine") as frozen:
        client = SocketClient(run_dir)
        client.call("query_memory")
        frozen.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(control, "ANSWER_SECONDS", 0.2)
        monkeypatch.setattr(engine_control, "SIGNAL_SECONDS", 0.2)
        assert main(("status",)) == 1
        assert f"(process {frozen.pid}) does not answer" in capsys.readouterr().err
        assert main(("stop",)) == 0
        assert "SIGKILL stopped it" in capsys.readouterr().out
        client.leave()
    assert {file.name for file in Path(run_dir.folder).iterdir()} <= {ENGINE_LOCK, START_LOCK}
    assert running_on(Path(run_dir.home)) == []


def test_an_engine_under_nohup_outlives_the_terminal(run_dir: RunDir) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does: it is inherited
    try:
        with running("engine") as engine:
            client = SocketClient(run_dir)
            engine.send_signal(signal.SIGHUP)
            assert client.call("query_memory", limit=1)["memories"] is not None
            engine.send_signal(signal.SIGTERM)
            assert client.read() == {"memos-as": 1, "answer": "leaving"}
            client.leave()
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_signal_sends_a_shutdown_notice_and_a_second_one_stops_at_once(run_dir: RunDir) -> None:
    with running("engine") as leaving:
        client = SocketClient(run_dir)
        leaving.send_signal(signal.SIGHUP)
        assert client.read() == {"memos-as": 1, "answer": "leaving"}
        began = time.monotonic()
        leaving.send_signal(signal.SIGINT)
        assert client.read() == {}
        assert time.monotonic() - began < NOTICE_SECONDS / 2
        assert leaving.wait(30) == 0
        client.leave()


@pytest.mark.anyio
async def test_a_database_of_a_newer_version_is_reported_to_every_client_and_stops_the_engine(
    run_dir: RunDir, database_url: str
) -> None:
    connection = await connect(database_url)
    await connection.execute("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later', '')")
    await connection.close(timeout=5)
    with running("engine", MEMOS_DATABASE_URL=database_url) as process:
        client = SocketClient(run_dir, settings={"MEMOS_DATABASE_URL": database_url})
        payload = client.answer if client.answer["answer"] == "refused" else client.read()
        assert payload["answer"] == "refused"
        assert "a newer version has migrated it" in payload["reason"]
        client.leave()
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert process.stderr.read() == f"memos-as: {payload['reason']}\n"
        process.returncode = 0


def test_a_data_folder_that_cannot_be_created_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMOS_HOME", str(tmp_path / "file" / "home"))
    assert main(("engine",)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"memos-as: {tmp_path / 'file' / 'home'} cannot be used: Not a directory.")


def test_status_and_stop_report_that_no_engine_runs(run_dir: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("status",)) == 3
    assert main(("stop",)) == 0
    assert capsys.readouterr().out == f"no engine runs for {run_dir.home}\n" * 2


@pytest.mark.parametrize("command", ["status", "stop"])
def test_a_data_folder_of_another_user_is_reported_in_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # root, who may run this test, never gets it

    monkeypatch.setenv("MEMOS_HOME", str(tmp_path))
    monkeypatch.setattr(RunDir, "connect", refuse)
    monkeypatch.setattr(RunDir, "try_lock", refuse)
    assert main((command,)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"memos-as: {tmp_path} cannot be used: Permission denied.")


def test_http_is_served_without_a_socket(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_run_dir: RunDir) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(RunDir, "listen", refuse)
    with caplog.at_level(logging.WARNING):
        assert engine_control._listener(run_dir) is None
    assert "serving HTTP only" in caplog.text


def test_the_log_is_bounded_and_its_newest_file_gets_printed_text(tmp_path: Path) -> None:
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
        os.write(2, b"memos-as: a last message\\n")
    """
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "engine.log")], check=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "engine.log",
        "engine.log.1",
        "engine.log.2",
        "engine.log.3",
    ]
    newest = (tmp_path / "engine.log").read_text().splitlines()
    assert newest[-3:] == ["line 399 of the engine", "printed by a library", "memos-as: a last message"]
    assert all(file.stat().st_size <= 2_100 and "not asked" not in file.read_text() for file in tmp_path.iterdir())
