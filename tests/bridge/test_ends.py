"""How the bridge ends, and the kinds of descriptors that clients hand it."""

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
from memos_mcp.bridge.main import IN_DOUBT, UNREACHABLE
from memos_mcp.ipc.run_dir import START_LOCK, RunDir
from tests.bridge.scripted import (
    AT_ONCE,
    COMMAND,
    IN_TIME,
    ROOT,
    SECONDS,
    Client,
    Engine,
    Hearing,
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


def test_closed_input_ends_it(session: Session, client: Client) -> None:
    client.shakes_hands(session)
    client.leaves()
    assert session.hearing.rest() == b""


def test_an_answer_that_comes_soon_after_the_input_was_closed_is_delivered(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    client.stdin.close()
    with pytest.raises(TimeoutError):
        client.hearing.line(seconds=0.2)
    session.say(answer(1))
    assert client.hear() == answer(1)
    session.close()
    client.sees_it_end(within=AT_ONCE)


def test_an_answer_that_never_comes_does_not_keep_it(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    client.leaves(unanswered=IN_DOUBT)


def test_answers_that_nobody_reads_do_not_keep_it(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    session.say(answer(1, content="x" * 1_000_000))
    assert client.hearing.has_something()
    client.stdin.close()
    assert client.process.wait(IN_TIME) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_at_once_when_nothing_is_under_way(
    number: signal.Signals, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    client.process.send_signal(number)
    client.sees_it_end(within=AT_ONCE)


def test_a_signal_lets_what_is_under_way_be_answered(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    client.process.terminate()
    with pytest.raises(TimeoutError):
        client.hearing.line(seconds=0.1)
    session.say(answer(1))
    assert client.hear() == answer(1)
    client.sees_it_end(within=AT_ONCE)


def test_after_a_signal_nothing_more_is_read(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    client.process.terminate()
    client.sees_it_end(unanswered=IN_DOUBT)
    assert session.hearing.rest() == b""


def test_a_second_signal_waits_for_nothing(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    client.process.terminate()
    client.process.send_signal(signal.SIGINT)
    client.sees_it_end(within=AT_ONCE, unanswered=IN_DOUBT)


def test_output_that_nobody_reads_any_more_ends_it(session: Session, client: Client) -> None:
    client.shakes_hands(session)
    client.stdout.close()
    assert (client.process.wait(IN_TIME), client.stderr.read()) == (0, b"")


@pytest.mark.parametrize("ending", ["closed input", "signal", "closed output"])
def test_it_ends_in_time_while_it_looks_for_an_engine(ending: str, home: Path) -> None:
    place = RunDir(str(home))
    place.prepare()
    lock = place.hold(START_LOCK)
    assert lock is not None
    with launched(home) as client:
        client.say(call(1))
        wait_until_read(client)
        ends(client, ending)
    os.close(lock)


@pytest.mark.parametrize("ending", ["closed input", "signal", "closed output"])
def test_it_ends_in_time_when_the_engine_says_nothing(ending: str, engine: Engine, client: Client) -> None:
    engine.accept_silently()
    client.say(call(1))
    wait_until_read(client)
    ends(client, ending)


@pytest.mark.parametrize("has_descriptor", [True, False])
def test_it_ends_with_who_launched_it_even_if_another_keeps_its_input_open(
    has_descriptor: bool, engine: Engine, home: Path
) -> None:
    """Some systems cannot wait for a process that is no child: there it looks, twice a second."""
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
        session.hear()
        launcher.kill()
        killed = time.monotonic()
        assert launcher.stdout is not None
        assert Hearing(launcher.stdout.fileno()).rest() == b"", "it holds the other end as long as it lives"
        assert time.monotonic() - killed < IN_TIME
    os.close(held)
    os.close(mine)


def test_a_parent_is_looked_for_where_it_cannot_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(process: int) -> int:
        raise PermissionError(process)

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    parent = ParentProcess()
    assert parent.descriptor is None
    assert not parent.is_gone({})
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert parent.is_gone({})


def test_input_and_output_can_be_files(engine: Engine, home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(lines(*[call(number) for number in range(100)]))
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        process = started(home, stdin, stdout)
    session = engine.accept()
    asked = session.hearing.messages(100)
    session.say(*[answer(message["id"]) for message in asked])
    ends_well(process)
    assert (tmp_path / "out").read_bytes() == lines(*[answer(number) for number in range(100)])


@pytest.mark.parametrize("blocking", [True, False])
def test_one_socket_can_be_both(blocking: bool, engine: Engine, home: Path) -> None:
    mine, theirs = socket.socketpair()
    with mine:
        with theirs:
            theirs.setblocking(blocking)
            process = started(home, theirs, theirs)
        session, client = engine.accept(), Hearing(mine.fileno())
        for number in range(3):
            write_all(mine.fileno(), lines(call(number, content="x" * 100_000)))
            assert session.hear() == call(number, content="x" * 100_000)
            session.say(answer(number, content="y" * 1_000_000))
            assert client.message() == answer(number, content="y" * 1_000_000)
        mine.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    ends_well(process)


def test_pipes_that_do_not_block_are_read_and_written_to_the_end(engine: Engine, home: Path) -> None:
    (stdin, mine), (theirs, stdout) = os.pipe(), os.pipe()
    for descriptor in (stdin, stdout):
        os.set_blocking(descriptor, False)
    process = started(home, stdin, stdout)
    os.close(stdin)
    os.close(stdout)
    session = engine.accept()
    with ThreadPoolExecutor() as threads:
        said = threads.submit(write_all, mine, lines(call(1, content="x" * 1_000_000)))
        assert session.hear() == call(1, content="x" * 1_000_000)
        said.result()
    session.say(answer(1, content="x" * 1_000_000))
    assert Hearing(theirs).message() == answer(1, content="x" * 1_000_000)
    os.close(mine)
    ends_well(process)
    os.close(theirs)


def test_a_terminal_can_be_both(engine: Engine, home: Path) -> None:
    mine, theirs = pty.openpty()
    process = started(home, theirs, theirs)
    os.close(theirs)
    session, client = engine.accept(), Hearing(mine)
    os.write(mine, lines(call(1)))
    assert session.hear() == call(1)
    assert client.message() == call(1), "the terminal's echo"
    session.say(answer(1, content="x" * 50_000))
    assert client.message() == answer(1, content="x" * 50_000)
    os.write(mine, b"\x04")
    ends_well(process)
    os.close(mine)


def test_a_terminal_that_is_closed_ends_it(engine: Engine, home: Path) -> None:
    mine, theirs = pty.openpty()
    process = started(home, theirs, theirs)
    os.close(theirs)
    engine.accept()
    os.close(mine)
    ends_well(process)


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_without_input_it_ends(closed: str, engine: Engine, home: Path) -> None:
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND]
    assert subprocess.run(command, cwd=ROOT, env=environment_of(home), timeout=IN_TIME, check=False).returncode == 0
    assert engine.accept_silently().hearing.rest() == b""


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_descriptor_that_is_closed_is_not_taken_by_a_socket(closed: str, engine: Engine, home: Path) -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND],
        cwd=ROOT, env=environment_of(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        session = engine.accept(answer="welcome", note="hear, hear")
        write_all(process.stdin.fileno(), lines(call(1)))
        assert session.hear() == call(1)
        session.say(answer(1))
        session.tell(answer="leaving")
        assert session.hearing.rest() == b"", "neither an answer nor a note has come back to the engine"
        session.close()
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert stdout == (b"" if ">&- " in f"{closed} ".replace("2>&-", "") else lines(answer(1)))
    assert stderr == (b"" if "2>&-" in closed else b"memos-as: hear, hear\n")


def test_people_who_do_not_read_do_not_keep_the_client_waiting(engine: Engine, client: Client) -> None:
    assert engine.accept(answer="refused", reason="no").hearing.rest() == b""
    for number in range(100):
        client.say(call(number))
        engine.accept(answer="refused", reason="no " * 1_000)
        assert client.hear()["error"]["code"] == -32051


def ends(client: Client, ending: str) -> None:
    if ending == "closed input":
        client.leaves(unanswered=UNREACHABLE)
    elif ending == "signal":
        client.process.terminate()
        client.sees_it_end(unanswered=UNREACHABLE)
    else:
        client.stdout.close()
        assert (client.process.wait(IN_TIME), client.stderr.read()) == (0, b"")


def wait_until_read(client: Client) -> None:
    """Wait until the bridge has taken what was written: it is up, its signals are its own."""
    until = time.monotonic() + SECONDS
    while pipe_holds(client.stdin.fileno()):
        assert time.monotonic() < until
        os.sched_yield()


def pipe_holds(descriptor: int) -> bool:
    held = array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, held)
    return held[0] > 0


def started(home: Path, stdin: int | IO[bytes] | socket.socket, stdout: int | IO[bytes] | socket.socket) -> Process:
    """Launch a bridge with these descriptors."""
    ends = [end if isinstance(end, int) else end.fileno() for end in (stdin, stdout)]
    return subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment_of(home), stdin=ends[0], stdout=ends[1], stderr=subprocess.PIPE
    )


def ends_well(process: Process) -> None:
    _, stderr = process.communicate(timeout=IN_TIME)
    assert (process.returncode, stderr) == (0, b"")
