import os
import select
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from memos_mcp.ipc import connect as connect_module
from memos_mcp.ipc.connect import Unreachable, connect
from memos_mcp.ipc.handshake import Wait, encode, request_line
from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir

REQUEST = request_line("serve", {})
Attempt = Generator[Wait, bool | None, socket.socket]


@pytest.fixture
def engine_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the engine's interpreter by a program that writes this file to stderr and exits."""
    (tmp_path / "program").write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\ncat {tmp_path}/output >&2\n")
    (tmp_path / "program").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    return tmp_path / "output"


def test_an_engine_that_cannot_start_is_unreachable_for_its_last_message(run_dir: RunDir, engine_output: Path) -> None:
    engine_output.write_text("memos-as: the database is newer\n")
    with pytest.raises(Unreachable, match="could not start: the database is newer"):
        run_attempt(attempt(run_dir))
    assert is_free(run_dir, START_LOCK)


def test_an_engine_that_exits_without_a_message_is_started_again(run_dir: RunDir, engine_output: Path) -> None:
    engine_output.write_text("Killed\n")
    running = attempt(run_dir)
    starts = engine_output.with_name("starts")
    happened = None
    while not (starts.exists() and starts.read_text().count("started") == 3):
        happened = wait_for(running.send(happened))
    running.close()
    assert is_free(run_dir, START_LOCK), "an abandoned attempt does not keep others from starting an engine"


def test_engines_that_keep_exiting_without_a_message_are_not_started_forever(
    run_dir: RunDir, engine_output: Path
) -> None:
    engine_output.write_text("Traceback (most recent call last):\n")
    with pytest.raises(Unreachable, match=r"could not start.*logs/engine.log"):
        run_attempt(attempt(run_dir))
    assert engine_output.with_name("starts").read_text().count("started") == connect_module.MAX_LAUNCHES
    assert is_free(run_dir, START_LOCK)


def test_a_client_waits_while_another_one_starts_the_engine(run_dir: RunDir) -> None:
    lock = run_dir.try_lock(START_LOCK)
    assert lock is not None
    running = attempt(run_dir)
    for _ in range(3):
        assert wait_for(next(running)) is False
    with run_dir.listen() as listener:
        descriptor, _ = next(running)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1 << 16) == REQUEST
            accepted.sendall(encode(answer="welcome"))
            with run_attempt(running, wait_for((descriptor, 5.0))) as connection:
                accepted.sendall(b"!")
                assert connection.recv(1) == b"!"
    os.close(lock)


def test_an_engine_that_does_not_answer_is_named_after_a_while(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "CONNECT_SECONDS", 0.1)
    lock = run_dir.try_lock(ENGINE_LOCK)
    assert lock is not None
    os.write(lock, b"4711")
    with run_dir.listen(), pytest.raises(Unreachable, match=r"process 4711.*within 0.1 seconds"):
        run_attempt(attempt(run_dir))
    os.close(lock)


def test_a_data_folder_that_cannot_be_used_is_reported_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("elsewhere")
    (tmp_path / "elsewhere").mkdir()
    reported: list[str] = []
    with pytest.raises(Unreachable, match=r"cannot be used: it is not a folder of this user. Set MEMOS_HOME"):
        run_attempt(connect(RunDir(str(tmp_path)), REQUEST, {}, reported.append))
    assert str(tmp_path) in reported[0]


def test_a_data_folder_that_is_a_file_is_reported_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Unreachable, match="cannot be used: Not a directory"):
        run_attempt(attempt(RunDir(str(tmp_path / "home"))))


def attempt(run_dir: RunDir) -> Attempt:
    return connect(run_dir, REQUEST, {}, lambda _: None)


def wait_for(wait: Wait) -> bool:
    """Wait for what an attempt yields; return whether it happened."""
    descriptor, seconds = wait
    return bool(select.select([] if descriptor is None else [descriptor], [], [], min(seconds, 5))[0])


def run_attempt(running: Attempt, happened: bool | None = None) -> socket.socket:
    """Run an attempt to its end; return the connection."""
    while True:
        try:
            happened = wait_for(running.send(happened))
        except StopIteration as connected:
            connection = connected.value
            assert isinstance(connection, socket.socket)
            return connection


def is_free(run_dir: RunDir, name: str) -> bool:
    lock = run_dir.try_lock(name)
    if lock is not None:
        os.close(lock)
    return lock is not None
