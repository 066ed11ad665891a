import os
import select
import socket
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from memos_mcp.ipc import connect as seeking
from memos_mcp.ipc.connect import Unreachable, Wait, seek
from memos_mcp.ipc.handshake import encode, greeting
from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir

GREETING = greeting("serve", {})
Search = Generator[Wait, bool | None, socket.socket]


@pytest.fixture
def engine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in the place of the engine's interpreter that says what this file holds, and ends."""
    (tmp_path / "program").write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\ncat {tmp_path}/words >&2\n")
    (tmp_path / "program").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "program"))
    return tmp_path / "words"


def test_an_engine_that_could_not_start_is_unreachable_for_its_own_reason(place: RunDir, engine_says: Path) -> None:
    engine_says.write_text("memos-as: the database is newer\n")
    with pytest.raises(Unreachable, match="could not start: the database is newer"):
        followed(search(place))
    assert free(place, START_LOCK)


def test_an_engine_that_ends_without_a_reason_is_started_again(place: RunDir, engine_says: Path) -> None:
    engine_says.write_text("Killed\n")
    going = search(place)
    starts = engine_says.with_name("starts")
    came = None
    while not (starts.exists() and starts.read_text().count("started") == 3):
        came = awaited(going.send(came))
    going.close()
    assert free(place, START_LOCK), "who stops looking lets others look"


def test_engines_that_end_without_a_reason_are_not_started_without_end(place: RunDir, engine_says: Path) -> None:
    engine_says.write_text("Traceback (most recent call last):\n")
    with pytest.raises(Unreachable, match=r"could not start.*logs/engine.log"):
        followed(search(place))
    assert engine_says.with_name("starts").read_text().count("started") == seeking.LAUNCHES
    assert free(place, START_LOCK)


def test_who_finds_another_starting_waits_for_its_engine(place: RunDir) -> None:
    lock = place.hold(START_LOCK)
    assert lock is not None
    going = search(place)
    for _ in range(3):
        assert awaited(next(going)) is False
    with place.listen() as listener:
        descriptor, _ = next(going)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(1 << 16) == GREETING
            accepted.sendall(encode(answer="welcome"))
            with followed(going, awaited((descriptor, 5.0))) as connection:
                accepted.sendall(b"!")
                assert connection.recv(1) == b"!"
    os.close(lock)


def test_an_engine_that_says_nothing_is_named_after_a_while(place: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeking, "SEEK_SECONDS", 0.1)
    lock = place.hold(ENGINE_LOCK)
    assert lock is not None
    os.write(lock, b"4711")
    with place.listen(), pytest.raises(Unreachable, match=r"process 4711.*within 0.1 seconds"):
        followed(search(place))
    os.close(lock)


def test_a_folder_that_cannot_be_used_is_said_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("elsewhere")
    (tmp_path / "elsewhere").mkdir()
    told: list[str] = []
    with pytest.raises(Unreachable, match=r"cannot be used: it is not a folder of this user. Set MEMOS_HOME"):
        followed(seek(RunDir(str(tmp_path)), GREETING, {}, told.append))
    assert str(tmp_path) in told[0]


def test_a_home_that_is_a_file_is_said_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Unreachable, match="cannot be used: Not a directory"):
        followed(search(RunDir(str(tmp_path / "home"))))


def search(place: RunDir) -> Search:
    return seek(place, GREETING, {}, lambda _: None)


def awaited(wait: Wait) -> bool:
    """Wait as the search wants it; tell whether what it waits for came."""
    descriptor, seconds = wait
    return bool(select.select([] if descriptor is None else [descriptor], [], [], min(seconds, 5))[0])


def followed(going: Search, came: bool | None = None) -> socket.socket:
    """Follow a search to its end."""
    while True:
        try:
            came = awaited(going.send(came))
        except StopIteration as found:
            connection = found.value
            assert isinstance(connection, socket.socket)
            return connection


def free(place: RunDir, name: str) -> bool:
    held = place.hold(name)
    if held is not None:
        os.close(held)
    return held is not None
