import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.transports.test_jsonrpc_lines import HELLO, notification, request, store

COMMAND = [sys.executable, "-c", "from tests.stand_in import serve_stdio_alone; serve_stdio_alone()"]
ROOT = Path(__file__).parents[2]
HANDSHAKE = [request("initialize", "hello", **HELLO), notification("notifications/initialized")]


def lines(*messages: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


@contextmanager
def served() -> Iterator[subprocess.Popen[bytes]]:
    """A server process that has answered the handshake."""
    pipe = subprocess.PIPE
    with subprocess.Popen(COMMAND, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            write(process, *HANDSHAKE)
            assert read(process)["id"] == "hello"
            yield process
        finally:
            process.kill()


def write(process: subprocess.Popen[bytes], *messages: dict[str, Any]) -> None:
    assert process.stdin
    process.stdin.write(lines(*messages))
    process.stdin.flush()


def read(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def close_stdin(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    process.stdin = None


def terminate(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)


def test_printed_text_is_written_to_stderr_and_the_protocol_stays_clean() -> None:
    with served() as process:
        write(process, store("print", 1), store("next", 2))
        assert [read(process)["id"], read(process)["id"]] == [1, 2]
        close_stdin(process)
        rest, errors = process.communicate(timeout=5)
    assert (process.returncode, rest) == (0, b"")
    assert errors == b"stray\nclosed cleanly\n"


@pytest.mark.parametrize("stop", [close_stdin, terminate, interrupt])
def test_a_call_that_does_not_finish_is_cancelled_on_shutdown(stop: Any) -> None:
    with served() as process:
        write(process, store("wait", 5), store("meanwhile", 6))
        assert read(process)["id"] == 6
        started = time.monotonic()
        stop(process)
        answer, errors = process.communicate(timeout=5)
    assert time.monotonic() - started < 4
    assert (process.returncode, errors) == (0, b"closed cleanly\n")
    assert json.loads(answer)["id"] == 5


def test_input_and_output_can_be_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(lines(*HANDSHAKE, store("from a file", 1)))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        process = subprocess.run(
            COMMAND, cwd=ROOT, stdin=source, stdout=sink, stderr=subprocess.PIPE, timeout=10, check=True
        )
    answers = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [answer["id"] for answer in answers] == ["hello", 1]
    assert process.stderr == b"closed cleanly\n"


def test_output_that_shares_a_pipe_with_stderr_is_not_made_non_blocking() -> None:
    messages = lines(*HANDSHAKE, *[store("x" * 1_000, number) for number in range(300)])
    process = subprocess.run(
        COMMAND, cwd=ROOT, input=messages, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=True
    )
    answers = process.stdout.splitlines()
    assert len(answers) == 302
    assert answers[-1] == b"closed cleanly"
