import json
import os
import select
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.ipc.launch import EngineLaunch
from memos_mcp.ipc.run_dir import START_LOCK, RunDir

Write = Callable[[str], None]


@pytest.fixture
def stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Put a small program in the place of the engine's interpreter; `tell` is the descriptor that it was handed."""
    python = sys.executable

    def write(program: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!{python} -IS\nimport os, sys\ntell = int(sys.argv[-1])\n{textwrap.dedent(program)}")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))

    return write


def is_ready(engine: EngineLaunch) -> bool:
    return bool(select.select([engine.ready], [], [], 5)[0])


def told_by(place: RunDir) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(place.home, "told.json").read_text())
    return told


def test_an_engine_is_started_apart_from_who_starts_it(place: RunDir, stands_in: Write) -> None:
    stands_in("""
        import json
        told = {"command": sys.argv[1:], "home": os.environ["MEMOS_HOME"], "extra": os.environ["EXTRA"],
                "folder": os.getcwd(), "session": os.getsid(0), "group": os.getpgrp(), "process": os.getpid(),
                "parent": os.getppid(), "stdin": os.readlink("/dev/fd/0"),
                "open": sorted(int(name) for name in os.listdir("/dev/fd"))}
        with open("told.json", "w") as file:
            json.dump(told, file)
        os.write(tell, b"!")
    """)
    spare, other = os.pipe()
    os.set_inheritable(spare, True)
    os.set_inheritable(other, True)
    engine = EngineLaunch(place, {"EXTRA": "x", "MEMOS_HOME": "relative"})
    assert is_ready(engine)
    assert engine.listens()
    engine.close()
    for descriptor in (spare, other):
        os.close(descriptor)
    told = told_by(place)
    tell = int(told["command"][-1])
    assert told["command"] == ["-P", "-m", "memos_mcp", "engine", "--ready", str(tell)]
    assert (told["home"], told["extra"], told["folder"]) == (place.home, "x", os.path.realpath(place.home))
    assert told["session"] == told["group"] != os.getsid(0)
    assert told["process"] != told["session"], "it leads no session: no terminal becomes its own"
    assert told["parent"] != os.getpid()
    assert told["stdin"] == os.devnull
    assert len(told["open"]) == 5, "three, its own `tell`, and the folder in which it looked for them"
    assert {0, 1, 2, tell} < set(told["open"])


def test_what_an_engine_says_goes_to_its_log_and_its_last_words_are_the_reason(place: RunDir, stands_in: Write) -> None:
    Path(place.log).parent.mkdir()
    Path(place.log).write_text("memos-as: an older trouble é\n")
    stands_in("""
        print("starting", flush=True)
        os.write(2, b"memos-as: no room\\nmemos-as: the port 8766 is taken\\n  at \\xff line 3\\n")
    """)
    engine = EngineLaunch(place, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() == "the port 8766 is taken"
    engine.close()
    assert Path(place.log).read_bytes().startswith("memos-as: an older trouble é\nstarting\n".encode())


def test_an_engine_that_ends_without_a_word_gives_no_reason(place: RunDir, stands_in: Write) -> None:
    Path(place.log).parent.mkdir()
    Path(place.log).write_text("memos-as: an older trouble\n")
    stands_in("raise SystemExit(1)")
    engine = EngineLaunch(place, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() is None
    engine.close()


def test_a_program_that_cannot_be_run_is_an_engine_that_is_gone(place: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    engine = EngineLaunch(place, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() is None
    engine.close()


def test_an_engine_does_not_hold_its_starters_lock(place: RunDir, stands_in: Write) -> None:
    stands_in("""
        os.write(tell, b"!")
        with open("on") as held:  # until the test lets go
            held.read()
    """)
    os.mkfifo(f"{place.home}/on")
    lock = place.hold(START_LOCK)
    assert lock is not None
    engine = EngineLaunch(place, {})
    assert is_ready(engine)
    os.close(lock)
    again = place.hold(START_LOCK)
    with Path(place.home, "on").open("w"):
        assert again is not None
    os.close(again)
    engine.close()


def test_who_ignores_the_ends_of_its_children_can_start_an_engine_that_does_not(
    place: RunDir, stands_in: Write
) -> None:
    stands_in("""
        import signal
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL:
            os.write(tell, b"!")
    """)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        engine = EngineLaunch(place, {})
        assert is_ready(engine)
        assert engine.listens()
        engine.close()
    finally:
        signal.signal(signal.SIGCHLD, before)
