"""How the bridge shuts down, and the kinds of file descriptors that clients give it."""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeAlias

import pytest

from memos_mcp.bridge.client_io import ParentProcess
from memos_mcp.bridge.main import OUTCOME_UNKNOWN, UNREACHABLE
from memos_mcp.ipc.run_dir import START_LOCK, RunDir
from tests.bridge.scripted import (
    AT_ONCE,
    COMMAND,
    IN_TIME,
    ROOT,
    SECONDS,
    Client,
    Engine,
    LineReader,
    Session,
    answer,
    call,
    environment_of,
    launched,
    lines,
    write_all,
)

Process: TypeAlias = subprocess.Popen[bytes]

LAUNCHER = f"import subprocess; subprocess.run({list(COMMAND)!r})"


def test_the_bridge_exits_when_its_input_is_closed(session: Session, client: Client) -> None:
    client.initialize(session)
    client.close()
    assert session.reader.rest() == b""


def test_an_answer_soon_after_the_input_was_closed_is_delivered(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    client.stdin.close()
    with pytest.raises(TimeoutError):
        client.reader.line(seconds=0.2)
    session.send(answer(1))
    assert client.read() == answer(1)
    session.close()
    client.wait_closed(within=AT_ONCE)


def test_a_missing_answer_does_not_keep_the_bridge_alive(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    client.close(unanswered=OUTCOME_UNKNOWN)


def test_unread_answers_do_not_keep_the_bridge_alive(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    session.send(answer(1, content="x" * 1_000_000))
    assert client.reader.wait_readable()
    client.stdin.close()
    assert client.process.wait(IN_TIME) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_an_idle_bridge_at_once(number: signal.Signals, session: Session, client: Client) -> None:
    client.initialize(session)
    client.process.send_signal(number)
    client.wait_closed(within=AT_ONCE)


def test_a_call_under_way_is_still_answered_after_a_signal(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    client.process.terminate()
    with pytest.raises(TimeoutError):
        client.reader.line(seconds=0.1)
    session.send(answer(1))
    assert client.read() == answer(1)
    client.wait_closed(within=AT_ONCE)


def test_nothing_more_is_read_after_a_signal(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    client.process.terminate()
    client.wait_closed(unanswered=OUTCOME_UNKNOWN)
    assert session.reader.rest() == b""


def test_a_second_signal_stops_the_bridge_at_once(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    client.process.terminate()
    client.process.send_signal(signal.SIGINT)
    client.wait_closed(within=AT_ONCE, unanswered=OUTCOME_UNKNOWN)


def test_the_bridge_exits_when_its_output_is_closed(session: Session, client: Client) -> None:
    client.initialize(session)
    client.stdout.close()
    assert (client.process.wait(IN_TIME), client.stderr.read()) == (0, b"")


@pytest.mark.parametrize("ending", ["closed input", "signal", "closed output"])
def test_the_bridge_exits_in_time_while_it_waits_for_an_engine_to_start(ending: str, home: Path) -> None:
    run_dir = RunDir(str(home))
    run_dir.prepare()
    lock = run_dir.try_lock(START_LOCK)
    assert lock is not None
    with launched(home) as client:
        client.send(call(1))
        wait_until_read(client)
        end(client, ending)
    os.close(lock)


@pytest.mark.parametrize("ending", ["closed input", "signal", "closed output"])
def test_the_bridge_exits_in_time_when_the_engine_does_not_answer(ending: str, engine: Engine, client: Client) -> None:
    engine.accept_silently()
    client.send(call(1))
    wait_until_read(client)
    end(client, ending)


@pytest.mark.parametrize("has_descriptor", [True, False])
def test_the_bridge_exits_with_its_parent_even_if_another_process_keeps_its_input_open(
    has_descriptor: bool, engine: Engine, home: Path
) -> None:
    """Some systems cannot wait for a process that is not a child: the bridge polls there, twice a second."""
    program = LAUNCHER
    if not has_descriptor:
        without = "import os; del os.pidfd_open; from memos_mcp.__main__ import main; main()"
        program = f"import subprocess; subprocess.run({[sys.executable, '-c', without]!r})"
    held, mine = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment_of(home), stdin=held, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as launcher:  # fmt: skip
        session = engine.accept()
        os.write(mine, lines(call(1)))
        session.read()
        launcher.kill()
        killed = time.monotonic()
        assert launcher.stdout is not None
        assert LineReader(launcher.stdout.fileno()).rest() == b"", "the bridge holds the other end as long as it runs"
        assert time.monotonic() - killed < IN_TIME
    os.close(held)
    os.close(mine)


def test_the_parent_is_polled_where_it_cannot_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(process: int) -> int:
        raise PermissionError(process)

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    parent = ParentProcess()
    assert parent.descriptor is None
    assert not parent.has_exited({})
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert parent.has_exited({})


def test_input_and_output_can_be_files(engine: Engine, home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(lines(*[call(number) for number in range(100)]))
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        process = started(home, stdin, stdout)
    session = engine.accept()
    asked = session.reader.messages(100)
    session.send(*[answer(message["id"]) for message in asked])
    exits_cleanly(process)
    assert (tmp_path / "out").read_bytes() == lines(*[answer(number) for number in range(100)])


@pytest.mark.parametrize("blocking", [True, False])
def test_one_socket_can_be_input_and_output(blocking: bool, engine: Engine, home: Path) -> None:
    mine, theirs = socket.socketpair()
    with mine:
        with theirs:
            theirs.setblocking(blocking)
            process = started(home, theirs, theirs)
        session, client = engine.accept(), LineReader(mine.fileno())
        for number in range(3):
            write_all(mine.fileno(), lines(call(number, content="x" * 100_000)))
            assert session.read() == call(number, content="x" * 100_000)
            session.send(answer(number, content="y" * 1_000_000))
            assert client.message() == answer(number, content="y" * 1_000_000)
        mine.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    exits_cleanly(process)


def test_non_blocking_pipes_are_read_and_written_completely(engine: Engine, home: Path) -> None:
    (stdin, mine), (theirs, stdout) = os.pipe(), os.pipe()
    for descriptor in (stdin, stdout):
        os.set_blocking(descriptor, False)
    process = started(home, stdin, stdout)
    os.close(stdin)
    os.close(stdout)
    session = engine.accept()
    with ThreadPoolExecutor() as threads:
        written = threads.submit(write_all, mine, lines(call(1, content="x" * 1_000_000)))
        assert session.read() == call(1, content="x" * 1_000_000)
        written.result()
    session.send(answer(1, content="x" * 1_000_000))
    assert LineReader(theirs).message() == answer(1, content="x" * 1_000_000)
    os.close(mine)
    exits_cleanly(process)
    os.close(theirs)


def test_a_terminal_can_be_input_and_output(engine: Engine, home: Path) -> None:
    mine, theirs = pty.openpty()
    process = started(home, theirs, theirs)
    os.close(theirs)
    session, client = engine.accept(), LineReader(mine)
    os.write(mine, lines(call(1)))
    assert session.read() == call(1)
    assert client.message() == call(1), "the terminal's echo"
    session.send(answer(1, content="x" * 50_000))
    assert client.message() == answer(1, content="x" * 50_000)
    os.write(mine, b"\x04")
    exits_cleanly(process)
    os.close(mine)


def test_the_bridge_exits_when_its_terminal_is_closed(engine: Engine, home: Path) -> None:
    mine, theirs = pty.openpty()
    process = started(home, theirs, theirs)
    os.close(theirs)
    engine.accept()
    os.close(mine)
    exits_cleanly(process)


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_the_bridge_exits_without_input(closed: str, engine: Engine, home: Path) -> None:
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND]
    assert subprocess.run(command, cwd=ROOT, env=environment_of(home), timeout=IN_TIME, check=False).returncode == 0
    assert engine.accept_silently().reader.rest() == b""


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_socket_never_gets_the_number_of_a_closed_standard_stream(closed: str, engine: Engine, home: Path) -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND],
        cwd=ROOT, env=environment_of(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        session = engine.accept(answer="welcome", note="welcome aboard")
        write_all(process.stdin.fileno(), lines(call(1)))
        assert session.read() == call(1)
        session.send(answer(1))
        session.send_private(answer="leaving")
        assert session.reader.rest() == b"", "neither an answer nor the note was written to the engine"
        session.close()
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert stdout == (b"" if ">&- " in f"{closed} ".replace("2>&-", "") else lines(answer(1)))
    assert stderr == (b"" if "2>&-" in closed else b"memos-as: welcome aboard\n")


def test_unread_stderr_does_not_keep_the_client_waiting(engine: Engine, client: Client) -> None:
    assert engine.accept(answer="refused", reason="no").reader.rest() == b""
    for number in range(100):
        client.send(call(number))
        engine.accept(answer="refused", reason="no " * 1_000)
        assert client.read()["error"]["code"] == -32051


def end(client: Client, ending: str) -> None:
    if ending == "closed input":
        client.close(unanswered=UNREACHABLE)
    elif ending == "signal":
        client.process.terminate()
        client.wait_closed(unanswered=UNREACHABLE)
    else:
        client.stdout.close()
        assert (client.process.wait(IN_TIME), client.stderr.read()) == (0, b"")


def wait_until_read(client: Client) -> None:
    """Wait until the bridge has read its input: it then handles signals."""
    until = time.monotonic() + SECONDS
    while pipe_holds(client.stdin.fileno()):
        assert time.monotonic() < until
        os.sched_yield()


def pipe_holds(descriptor: int) -> bool:
    held = array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, held)
    return held[0] > 0


def started(home: Path, stdin: int | IO[bytes] | socket.socket, stdout: int | IO[bytes] | socket.socket) -> Process:
    """Launch a bridge with these file descriptors."""
    descriptors = [stream if isinstance(stream, int) else stream.fileno() for stream in (stdin, stdout)]
    return subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment_of(home), stdin=descriptors[0], stdout=descriptors[1], stderr=subprocess.PIPE
    )


def exits_cleanly(process: Process) -> None:
    _, stderr = process.communicate(timeout=IN_TIME)
    assert (process.returncode, stderr) == (0, b"")
