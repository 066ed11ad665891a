"""How lines pass through the bridge while its engine lives."""

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
    Hearing,
    Session,
    answer,
    call,
    environment_of,
    launched,
    lines,
)
from tests.bridge.scripted import request as asking

MIB = 1024 * 1024


def test_the_greeting_says_who_comes_and_the_settings_that_are_set(engine: Engine, home: Path) -> None:
    with launched(
        home,
        MEMOS_NAMESPACE="team é",
        MEMOS_AGENT_ID="ada",
        MEMOS_LOG_LEVEL="debug",
        MEMOS_QDRANT_URL="http://qdrant",
        memos_qdrant_prefix="p",
        MEMOS_EMBEDDING_MODEL="",
    ) as client:
        assert engine.accept().greeting == {
            "memos-as": 1,
            "want": "serve",
            "version": __version__,
            "namespace": "team é",
            "agent_id": "ada",
            "settings": {"MEMOS_QDRANT_URL": "http://qdrant", "MEMOS_QDRANT_PREFIX": "p"},
        }
        client.leaves()


@pytest.mark.parametrize("given", ["~/data", "./data", "data", "link", "d" * 200, "~/" + "d" * 200])
def test_the_engine_is_met_wherever_its_home_is_and_however_it_is_written(given: str, home: Path) -> None:
    (home / "link").symlink_to("data")
    engine = Engine(home / ("data" if given == "link" else given.removeprefix("~/")))
    with launched(Path(given), cwd=home, HOME=str(home)) as client:
        serves(engine.accept(), client)
    engine.close()


def test_without_a_home_the_engine_is_met_in_the_users_data_folder(home: Path) -> None:
    engine = Engine(home / "memos-as")
    with launched(Path(), MEMOS_HOME="", XDG_DATA_HOME=str(home)) as client:
        serves(engine.accept(), client)
    engine.close()


@pytest.mark.parametrize("given", ["~nobody-of-that-name/memory", "gone"])
def test_a_home_that_cannot_be_told_is_said_in_one_line(given: str, home: Path) -> None:
    (home / "cwd").mkdir()
    command = f"cd {shlex.quote(str(home / 'cwd'))}; rmdir ../cwd; exec {shlex.join(COMMAND)}"
    done = subprocess.run(["sh", "-c", command], env=environment_of(given), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"memos-as: {given}: ")
    assert "Set MEMOS_HOME to a full path" in done.stderr


def test_lines_pass_both_ways_unchanged_and_in_order(session: Session, client: Client) -> None:
    said = [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"\\ud83d \xc3\xa9"}}}',
        b'{  "id" : "1", "method":"ping"  , "jsonrpc":"2.0", "extra":1e400 }',
        b'{"not": "closed"',
        b"no json at all",
        b"[]",
        b"7",
        b'{"half a character": "\xc3"}',
        b'{"method":"tools/call","id":1.5}',
        b'{"id":' + b"1" * 5_000 + b',"method":"ping"}',
    ]
    client.write(b"".join(line + b"\n" for line in said))
    assert [session.hearing.line() for _ in said] == said
    session.write(b"".join(line + b"\n" for line in reversed(said)))
    assert [client.hearing.line() for _ in said] == said[::-1]


def test_blank_lines_and_the_blanks_around_a_line_do_not_count(session: Session, client: Client) -> None:
    client.write(b"\n\r\n  \t \n" + b' {"id":1,"method":"ping"} \r\n\n')
    assert session.hearing.line() == b'{"id":1,"method":"ping"}'
    session.write(b"\n\n" + lines(answer(1)))
    assert client.hear() == answer(1)


def test_a_line_that_comes_in_pieces_is_one_line(session: Session, client: Client) -> None:
    line = lines(call(1, content="é" * 10))
    for byte in range(0, len(line), 7):
        client.write(line[byte : byte + 7])
    assert session.hear() == call(1, content="é" * 10)


def test_a_last_line_needs_no_end(session: Session, client: Client) -> None:
    client.write(lines(call(1)).rstrip())
    client.stdin.close()
    assert session.hear() == call(1)
    session.say(answer(1))
    assert client.hear() == answer(1)
    client.sees_it_end()


def test_ten_mebibytes_pass_both_ways_at_once(session: Session, client: Client) -> None:
    big = "é" * (5 * MIB)
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(client.say, call(1, content=big))
        said = threads.submit(session.say, answer(0, content=big))
        heard = threads.submit(session.hear)
        assert client.hear() == answer(0, content=big)
        assert heard.result() == call(1, content=big)
        assert (sent.result(), said.result()) == (None, None)


def test_a_thousand_calls_at_once_are_each_passed_and_answered(session: Session, client: Client) -> None:
    asked = [call(number, content="x" * 500) for number in range(1_000)]
    with ThreadPoolExecutor() as threads:
        threads.submit(client.say, *asked)
        assert session.hearing.messages(1_000) == asked
        threads.submit(session.say, *map(answer, range(1_000)))
        assert client.hearing.messages(1_000) == [answer(number) for number in range(1_000)]
    client.leaves()


def test_a_client_that_only_writes_is_held_back_and_loses_nothing(session: Session, client: Client) -> None:
    count = 20_000
    padding = "x" * 1_000

    def echo() -> None:
        for _ in range(count):
            session.say(answer(session.hear()["id"], padding=padding))

    with ThreadPoolExecutor() as threads:
        echoed = threads.submit(echo)
        written = threads.submit(client.say, *[call(number, padding=padding) for number in range(count)])
        wait_until_full(client.stdin.fileno())
        assert not written.done()
        assert kib_of(client, "VmHWM") < 40_000
        heard = [client.hear()["id"] for _ in range(count)]
        written.result()
        echoed.result()
    assert heard == list(range(count))
    assert kib_of(client, "VmHWM") < 40_000
    client.leaves()


def test_answers_that_nobody_reads_wait_at_the_engine_even_while_calls_go_to_it(
    session: Session, client: Client
) -> None:
    answers = memoryview(lines(answer("x", padding="x" * 1_000)) * 1_000)
    calls = lines(*[call(number, padding="x" * 1_000) for number in range(5_000)])
    os.set_blocking(session.descriptor, False)
    said = heard = 0
    with ThreadPoolExecutor() as threads:
        written = threads.submit(client.write, calls)
        while heard < len(calls):
            with suppress(BlockingIOError):
                said += os.write(session.descriptor, answers[said % len(answers) :])
            with suppress(BlockingIOError):
                heard += len(os.read(session.descriptor, 4_096))
        written.result()
    assert said < 2 * MIB
    assert kib_of(client, "VmHWM") < 40_000


def test_an_engine_that_reads_nothing_holds_the_client_back(session: Session, client: Client) -> None:
    asked = [call(number, padding="x" * 10_000) for number in range(1_000)]
    with ThreadPoolExecutor() as threads:
        written = threads.submit(client.say, *asked)
        wait_until_full(client.stdin.fileno())
        assert not written.done()
        session.say(answer("early"))  # the other direction is not held back
        assert client.hear() == answer("early")
        assert session.hearing.messages(1_000) == asked


@pytest.mark.parametrize("request_id", [5, "five"])
def test_a_line_over_the_limit_is_answered_and_the_next_call_works(
    request_id: int | str, session: Session, client: Client
) -> None:
    client.say(call(request_id, content="x" * MAX_LINE_BYTES))
    refused = client.hear()
    assert (refused["id"], refused["error"]["code"]) == (request_id, -32600)
    assert "16 MiB" in refused["error"]["message"]
    serves(session, client)


def test_an_answer_over_the_limit_becomes_an_error_and_the_next_call_works(session: Session, client: Client) -> None:
    client.say(call(5))
    assert session.hear() == call(5)
    session.write(json.dumps(answer(5, content="x" * MAX_LINE_BYTES), separators=(",", ":")).encode() + b"\n")
    refused = client.hear()
    assert (refused["id"], refused["error"]["code"]) == (5, -32603)
    serves(session, client)


def test_a_private_line_of_a_later_protocol_never_reaches_the_client(session: Session, client: Client) -> None:
    session.write(b'{"memos-as": 2, "news": 1}\n{"memos-as": 1, "answer": "news"}\n{"memos-as":\n')
    serves(session, client)


def test_what_follows_a_welcome_at_once_is_heard(engine: Engine, client: Client) -> None:
    session = engine.accept_silently()
    session.write(encode(answer="welcome") + lines(answer("early")) + encode(answer="leaving"))
    assert client.hear() == answer("early")
    assert session.hearing.rest() == b"", "it has heard that the engine leaves"
    client.leaves()


def test_a_welcome_may_come_in_pieces(engine: Engine, client: Client) -> None:
    session = engine.accept_silently()
    welcome = encode(answer="welcome")
    for byte in welcome[:-1]:
        session.write(bytes([byte]))
    client.say(call(1))
    with pytest.raises(TimeoutError):
        session.hearing.line(seconds=0.1)
    session.write(b"\n")
    assert session.hear() == call(1)


def test_what_an_engine_notes_at_its_welcome_is_told_to_the_people(engine: Engine, client: Client) -> None:
    engine.accept(answer="welcome", note="the model is still loading")
    assert Hearing(client.stderr.fileno()).line() == b"memos-as: the model is still loading"
    client.leaves()


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
        "memos_mcp.ipc.line_buffer",
        "memos_mcp.ipc",
        *(f"memos_mcp.ipc.{name}" for name in ("connect", "handshake", "launch", "run_dir")),
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
    """See a call and its answer pass, and the bridge end."""
    client.say(asking("tools/list", "next"))
    assert session.hear() == asking("tools/list", "next")
    session.say(answer("next", tools=[]))
    assert client.hear() == answer("next", tools=[])
    client.leaves()


def wait_until_full(descriptor: int) -> None:
    """Wait until nobody has taken anything out of a pipe for a while."""
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    while room.poll(300):
        os.sched_yield()


def kib_of(client: Client, field: str) -> int:
    status = Path(f"/proc/{client.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))
