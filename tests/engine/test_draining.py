"""An engine behind a proxy that gets SIGTERM, as a process: it says so, continues to serve, and stops."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.prepared_home import copy_home
from tests.server_environment import server_environment
from tests.transports.test_http import HEADERS, call

SECONDS = 20.0


@pytest.fixture(scope="module")
def home(home_template: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield copy_home(home_template, Path(folder, "home"))


@contextmanager
def serving(home: Path, drain_seconds: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Serve over HTTP until the end of the context; yield the process and a client of it."""
    variables = server_environment(MEMOS_HOME=home, MEMOS_AUTH_TOKEN="s3cret", MEMOS_DRAIN_SECONDS=drain_seconds)
    command = [sys.executable, "-m", "memos_mcp", "serve", "--port", "0"]
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert url is not None
            with httpx.Client(
                base_url=url[0], headers=HEADERS | {"authorization": "Bearer s3cret"}, timeout=SECONDS
            ) as client:
                yield process, client
        finally:
            process.kill()


def wait_until_draining(client: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS
    while (ready := client.get("/readyz")).status_code == 200:
        assert time.monotonic() < deadline
    assert (ready.status_code, ready.json()) == (503, {"status": "draining", "parts": {}})


def test_a_draining_engine_is_not_ready_and_answers_everything_until_it_stops(home: Path) -> None:
    with serving(home, "60") as (process, client):
        assert client.get("/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        wait_until_draining(client)
        assert client.get("/healthz").json() == {"status": "ok"}
        answer = client.post("/mcp", content=call())
        assert answer.json()["result"]["structuredContent"]["created"] is True
        assert answer.headers["connection"] == "close"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, "a second signal does not wait for the time to pass"
        with pytest.raises(httpx.ConnectError):
            client.get("/healthz")


def test_a_draining_engine_stops_by_itself_when_the_time_is_over(home: Path) -> None:
    with serving(home, "0.5") as (process, client):
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_until_draining(client)
        assert process.wait(SECONDS) == 0
        assert time.monotonic() - began >= 0.5


def test_an_engine_that_a_person_interrupts_stops_at_once(home: Path) -> None:
    with serving(home, "60") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
