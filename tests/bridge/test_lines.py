"""How lines pass through the bridge while its engine runs."""

import json
import os
import select
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from memos_mcp import __version__
from memos_mcp.ipc.handshake import encode
from memos_mcp.ipc.line_buffer import MAX_LINE_BYTES
from tests.bridge.scripted import (
    COMMAND,
    ROOT,
    Client,
    Engine,
    LineReader,
    Session,
    answer,
    call,
    environment_of,
    launched,
    lines,
)
from tests.bridge.scripted import request as build_request

MIB = 1024 * 1024


def test_the_request_names_the_scope_and_the_settings_that_are_set(engine: Engine, home: Path) -> None:
    with launched(
        home,
        MEMOS_NAMESPACE="team é",
        MEMOS_AGENT_ID="ada",
        MEMOS_LOG_LEVEL="debug",
        MEMOS_QDRANT_URL="http://qdrant",
        memos_qdrant_prefix="p",
        MEMOS_EMBEDDING_MODEL="",
    ) as client:
        assert engine.accept().request == {
            "memos-as": 1,
            "want": "serve",
            "version": __version__,
            "namespace": "team é",
            "agent_id": "ada",
            "settings": {"MEMOS_QDRANT_URL": "http://qdrant", "MEMOS_QDRANT_PREFIX": "p"},
        }
        client.close()


@pytest.mark.parametrize("given", ["~/data", "./data", "data", "link", "d" * 200, "~/" + "d" * 200])
def test_the_engine_is_found_for_any_home_in_any_notation(given: str, home: Path) -> None:
    (home / "link").symlink_to("data")
    engine = Engine(home / ("data" if given == "link" else given.removeprefix("~/")))
    with launched(Path(given), cwd=home, HOME=str(home)) as client:
        serves(engine.accept(), client)
    engine.close()


def test_the_engine_is_found_in_the_users_data_folder_by_default(home: Path) -> None:
    engine = Engine(home / "memos-as")
    with launched(Path(), MEMOS_HOME="", XDG_DATA_HOME=str(home)) as client:
        serves(engine.accept(), client)
    engine.close()


@pytest.mark.parametrize("given", ["~nobody-of-that-name/memory", "removed"])
def test_an_unknown_home_is_reported_in_one_line(given: str, home: Path) -> None:
    (home / "cwd").mkdir()
    command = f"cd {shlex.quote(str(home / 'cwd'))}; rmdir ../cwd; exec {shlex.join(COMMAND)}"
    done = subprocess.run(["sh", "-c", command], env=environment_of(given), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"memos-as: {given}: ")
    assert "Set MEMOS_HOME to a full path" in done.stderr


def test_lines_pass_both_ways_unchanged_and_in_order(session: Session, client: Client) -> None:
    sent = [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"\\ud83d \xc3\xa9"}}}',
        b'{  "id" : "1", "method":"ping"  , "jsonrpc":"2.0", "extra":1e400 }',
        b'{"not": "closed"',
        b"no json at all",
        b"[]",
        b"7",
        b'{"invalid UTF-8": "\xc3"}',
        b'{"method":"tools/call","id":1.5}',
        b'{"id":' + b"1" * 5_000 + b',"method":"ping"}',
    ]
    client.write(b"".join(line + b"\n" for line in sent))
    assert [session.reader.line() for _ in sent] == sent
    session.write(b"".join(line + b"\n" for line in reversed(sent)))
    assert [client.reader.line() for _ in sent] == sent[::-1]


def test_blank_lines_and_blanks_around_a_line_are_dropped(session: Session, client: Client) -> None:
    client.write(b"\n\r\n  \t \n" + b' {"id":1,"method":"ping"} \r\n\n')
    assert session.reader.line() == b'{"id":1,"method":"ping"}'
    session.write(b"\n\n" + lines(answer(1)))
    assert client.read() == answer(1)


def test_a_line_in_several_chunks_is_one_line(session: Session, client: Client) -> None:
    line = lines(call(1, content="é" * 10))
    for byte in range(0, len(line), 7):
        client.write(line[byte : byte + 7])
    assert session.read() == call(1, content="é" * 10)


def test_the_last_line_needs_no_line_break(session: Session, client: Client) -> None:
    client.write(lines(call(1)).rstrip())
    client.stdin.close()
    assert session.read() == call(1)
    session.send(answer(1))
    assert client.read() == answer(1)
    client.wait_closed()


def test_ten_mebibytes_pass_both_ways_at_once(session: Session, client: Client) -> None:
    big = "é" * (5 * MIB)
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(client.send, call(1, content=big))
        answered = threads.submit(session.send, answer(0, content=big))
        received = threads.submit(session.read)
        assert client.read() == answer(0, content=big)
        assert received.result() == call(1, content=big)
        assert (sent.result(), answered.result()) == (None, None)


def test_a_thousand_calls_at_once_are_each_passed_and_answered(session: Session, client: Client) -> None:
    asked = [call(number, content="x" * 500) for number in range(1_000)]
    with ThreadPoolExecutor() as threads:
        threads.submit(client.send, *asked)
        assert session.reader.messages(1_000) == asked
        threads.submit(session.send, *map(answer, range(1_000)))
        assert client.reader.messages(1_000) == [answer(number) for number in range(1_000)]
    client.close()


def test_a_client_that_only_writes_is_blocked_and_loses_nothing(session: Session, client: Client) -> None:
    count = 20_000
    padding = "x" * 1_000

    def echo() -> None:
        for _ in range(count):
            session.send(answer(session.read()["id"], padding=padding))

    with ThreadPoolExecutor() as threads:
        echoed = threads.submit(echo)
        written = threads.submit(client.send, *[call(number, padding=padding) for number in range(count)])
        wait_until_full(client.stdin.fileno())
        assert not written.done()
        assert kib_of(client, "VmHWM") < 40_000
        received = [client.read()["id"] for _ in range(count)]
        written.result()
        echoed.result()
    assert received == list(range(count))
    assert kib_of(client, "VmHWM") < 40_000
    client.close()


def test_unread_answers_wait_in_the_engine_even_while_calls_are_sent_to_it(session: Session, client: Client) -> None:
    answers = memoryview(lines(answer("x", padding="x" * 1_000)) * 1_000)
    calls = lines(*[call(number, padding="x" * 1_000) for number in range(5_000)])
    os.set_blocking(session.descriptor, False)
    sent = received = 0
    with ThreadPoolExecutor() as threads:
        written = threads.submit(client.write, calls)
        while received < len(calls):
            with suppress(BlockingIOError):
                sent += os.write(session.descriptor, answers[sent % len(answers) :])
            with suppress(BlockingIOError):
                received += len(os.read(session.descriptor, 4_096))
        written.result()
    assert sent < 2 * MIB
    assert kib_of(client, "VmHWM") < 40_000


def test_an_engine_that_reads_nothing_blocks_the_client(session: Session, client: Client) -> None:
    asked = [call(number, padding="x" * 10_000) for number in range(1_000)]
    with ThreadPoolExecutor() as threads:
        written = threads.submit(client.send, *asked)
        wait_until_full(client.stdin.fileno())
        assert not written.done()
        session.send(answer("early"))  # the other direction is not blocked
        assert client.read() == answer("early")
        assert session.reader.messages(1_000) == asked


@pytest.mark.parametrize("request_id", [5, "five"])
def test_the_bridge_reports_an_oversized_line_and_the_next_call_works(
    request_id: int | str, session: Session, client: Client
) -> None:
    client.send(call(request_id, content="x" * MAX_LINE_BYTES))
    refused = client.read()
    assert (refused["id"], refused["error"]["code"]) == (request_id, -32600)
    assert "16 MiB" in refused["error"]["message"]
    serves(session, client)


def test_an_oversized_answer_becomes_an_error_and_the_next_call_works(session: Session, client: Client) -> None:
    client.send(call(5))
    assert session.read() == call(5)
    session.write(json.dumps(answer(5, content="x" * MAX_LINE_BYTES), separators=(",", ":")).encode() + b"\n")
    refused = client.read()
    assert (refused["id"], refused["error"]["code"]) == (5, -32603)
    serves(session, client)


def test_a_private_line_of_a_later_protocol_never_reaches_the_client(session: Session, client: Client) -> None:
    session.write(b'{"memos-as": 2, "news": 1}\n{"memos-as": 1, "answer": "news"}\n{"memos-as":\n')
    serves(session, client)


def test_lines_right_after_the_welcome_are_read(engine: Engine, client: Client) -> None:
    session = engine.accept_silently()
    session.write(encode(answer="welcome") + lines(answer("early")) + encode(answer="leaving"))
    assert client.read() == answer("early")
    assert session.reader.rest() == b"", "the bridge has read that the engine stops"
    client.close()


def test_a_welcome_may_come_in_several_chunks(engine: Engine, client: Client) -> None:
    session = engine.accept_silently()
    welcome = encode(answer="welcome")
    for byte in welcome[:-1]:
        session.write(bytes([byte]))
    client.send(call(1))
    with pytest.raises(TimeoutError):
        session.reader.line(seconds=0.1)
    session.write(b"\n")
    assert session.read() == call(1)


def test_a_note_in_the_welcome_is_written_to_stderr(engine: Engine, client: Client) -> None:
    engine.accept(answer="welcome", note="the model is still loading")
    assert LineReader(client.stderr.fileno()).line() == b"memos-as: the model is still loading"
    client.close()


def test_the_bridge_imports_little_and_only_from_the_standard_library(home: Path) -> None:
    program = "import sys; import memos_mcp.__main__; import memos_mcp.bridge.main; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment_of(home), capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    site = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, check=True)
    ours = imported - set(site.stdout.decode().split())
    roots = {name.partition(".")[0] for name in ours}
    assert roots <= sys.stdlib_module_names | {"memos_mcp"}
    assert {name for name in ours if name.startswith("memos_mcp.")} == {
        "memos_mcp.__main__",
        "memos_mcp.bridge",
        "memos_mcp.bridge.main",
        "memos_mcp.bridge.pending",
        "memos_mcp.bridge.client_io",
        "memos_mcp.bridge.engine_link",
        "memos_mcp.ipc.line_buffer",
        "memos_mcp.ipc",
        *(f"memos_mcp.ipc.{name}" for name in ("connect", "file_lock", "handshake", "launch", "run_dir")),
    }
    slow = {
        "argparse",
        "asyncio",
        "dataclasses",
        "inspect",
        "logging",
        "pathlib",
        "subprocess",
        "tempfile",
        "threading",
    }
    assert ours & slow == set()


def serves(session: Session, client: Client) -> None:
    """See a call and its answer pass, and the bridge exit."""
    client.send(build_request("tools/list", "next"))
    assert session.read() == build_request("tools/list", "next")
    session.send(answer("next", tools=[]))
    assert client.read() == answer("next", tools=[])
    client.close()


def wait_until_full(descriptor: int) -> None:
    """Wait until a pipe has not become writable for a while."""
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    while writable.poll(300):
        os.sched_yield()


def kib_of(client: Client, field: str) -> int:
    status = Path(f"/proc/{client.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))
