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
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Replace the engine's interpreter by a small program; its `ready` is the file descriptor that it was given."""
    python = sys.executable

    def write(program: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!{python} -IS\nimport os, sys\nready = int(sys.argv[-1])\n{textwrap.dedent(program)}")
        path.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(path))

    return write


def is_ready(engine: EngineLaunch) -> bool:
    return bool(select.select([engine.ready], [], [], 5)[0])


def written_by(run_dir: RunDir) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(Path(run_dir.home, "state.json").read_text())
    return state


def test_an_engine_is_detached_from_the_process_that_starts_it(run_dir: RunDir, fake_engine: Write) -> None:
    fake_engine("""
        import json
        state = {"command": sys.argv[1:], "home": os.environ["MEMOS_HOME"], "extra": os.environ["EXTRA"],
                "folder": os.getcwd(), "session": os.getsid(0), "group": os.getpgrp(), "process": os.getpid(),
                "parent": os.getppid(), "stdin": os.readlink("/dev/fd/0"),
                "open": sorted(int(name) for name in os.listdir("/dev/fd"))}
        with open("state.json", "w") as file:
            json.dump(state, file)
        os.write(ready, b"!")
    """)
    spare, other = os.pipe()
    os.set_inheritable(spare, True)
    os.set_inheritable(other, True)
    engine = EngineLaunch(run_dir, {"EXTRA": "x", "MEMOS_HOME": "relative"})
    assert is_ready(engine)
    assert engine.listens()
    engine.close()
    for descriptor in (spare, other):
        os.close(descriptor)
    state = written_by(run_dir)
    ready = int(state["command"][-1])
    assert state["command"] == ["-P", "-m", "memos_mcp", "engine", "--ready", str(ready)]
    assert (state["home"], state["extra"], state["folder"]) == (run_dir.home, "x", os.path.realpath(run_dir.home))
    assert state["session"] == state["group"] != os.getsid(0)
    assert state["process"] != state["session"], "it leads no session, so it cannot acquire a terminal"
    assert state["parent"] != os.getpid()
    assert state["stdin"] == os.devnull
    assert len(state["open"]) == 5, "three, its own `ready`, and the directory that lists them"
    assert {0, 1, 2, ready} < set(state["open"])


def test_the_output_of_an_engine_is_logged_and_its_last_message_is_the_reason(
    run_dir: RunDir, fake_engine: Write
) -> None:
    Path(run_dir.log).parent.mkdir()
    Path(run_dir.log).write_text("memos-as: an older error é\n")
    fake_engine("""
        print("starting", flush=True)
        os.write(2, b"memos-as: no space\\nmemos-as: the port 8766 is taken\\n  at \\xff line 3\\n")
    """)
    engine = EngineLaunch(run_dir, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() == "the port 8766 is taken"
    engine.close()
    assert Path(run_dir.log).read_bytes().startswith("memos-as: an older error é\nstarting\n".encode())


def test_an_engine_that_exits_without_a_message_gives_no_reason(run_dir: RunDir, fake_engine: Write) -> None:
    Path(run_dir.log).parent.mkdir()
    Path(run_dir.log).write_text("memos-as: an older error\n")
    fake_engine("raise SystemExit(1)")
    engine = EngineLaunch(run_dir, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() is None
    engine.close()


def test_a_program_that_cannot_be_run_is_an_engine_that_has_exited(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    engine = EngineLaunch(run_dir, {})
    assert is_ready(engine)
    assert not engine.listens()
    assert engine.reason() is None
    engine.close()


def test_an_engine_does_not_inherit_the_start_lock(run_dir: RunDir, fake_engine: Write) -> None:
    fake_engine("""
        os.write(ready, b"!")
        with open("on") as held:  # until the test closes it
            held.read()
    """)
    os.mkfifo(f"{run_dir.home}/on")
    lock = run_dir.try_lock(START_LOCK)
    assert lock is not None
    engine = EngineLaunch(run_dir, {})
    assert is_ready(engine)
    os.close(lock)
    again = run_dir.try_lock(START_LOCK)
    with Path(run_dir.home, "on").open("w"):
        assert again is not None
    os.close(again)
    engine.close()


def test_an_engine_handles_sigchld_even_if_its_starter_ignores_it(run_dir: RunDir, fake_engine: Write) -> None:
    fake_engine("""
        import signal
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL:
            os.write(ready, b"!")
    """)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        engine = EngineLaunch(run_dir, {})
        assert is_ready(engine)
        assert engine.listens()
        engine.close()
    finally:
        signal.signal(signal.SIGCHLD, before)
