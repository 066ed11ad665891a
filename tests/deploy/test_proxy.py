"""The configuration of the proxy, on a real HAProxy in front of two servers."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import httpx
import pytest

from tests.docs.pages import ROOT

PROGRAM = which("haproxy", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
CONFIG = ROOT / "deploy/compose/haproxy.cfg"
SECONDS = 20.0
SERVER = [sys.executable, "-c", "from tests.stand_in import serve_http_alone; serve_http_alone()"]
HEADERS = {
    "host": "127.0.0.1:8766",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
}
HELLO = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    '"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}'
)
LIST = '{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}'

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs haproxy; on Debian and Ubuntu: apt-get install haproxy")


@contextmanager
def server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of stand-ins; yield its host with its port, and its process."""
    with subprocess.Popen(SERVER, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            address = re.search(r"http://(127\.0\.0\.1:\d+)", process.stderr.readline().decode())
            assert address is not None
            yield address[1], process
        finally:
            process.kill()


@contextmanager
def proxy(folder: Path, *engines: str) -> Iterator[str]:
    """HAProxy with the configuration of the fleet, on free ports, in front of these engines."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ports.append(listener.getsockname()[1])
    text = CONFIG.read_text().replace(":8766\n", f"127.0.0.1:{ports[0]}\n", 1).replace(":8765", f":{ports[1]}")
    config = folder / "haproxy.cfg"
    config.write_text(text)
    environment = os.environ | {f"ENGINE_{number}": engine for number, engine in enumerate(engines, 1)}
    assert PROGRAM is not None
    with subprocess.Popen([PROGRAM, "-db", "-f", str(config)], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{ports[0]}"
            wait_until_served(f"http://127.0.0.1:{ports[1]}/")
            wait_until_served(f"{url}/readyz")
            yield url
        finally:
            process.terminate()
            process.wait(SECONDS)


def wait_until_served(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, headers=HEADERS, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
    raise AssertionError(url)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """A client of a proxy in front of two servers, of which the second one is returned."""
    with ExitStack() as stack:
        first, _ = stack.enter_context(server())
        second, process = stack.enter_context(server())
        url = stack.enter_context(proxy(tmp_path_factory.mktemp("proxy"), first, second))
        client = stack.enter_context(httpx.Client(base_url=url, headers=HEADERS, timeout=SECONDS, trust_env=False))
        yield client, process


def open_session(client: httpx.Client) -> dict[str, str]:
    answer = client.post("/mcp", content=HELLO)
    assert answer.status_code == 200
    return {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}


def test_a_session_stays_with_the_engine_that_opened_it(fleet: tuple[httpx.Client, object]) -> None:
    client, _ = fleet
    sessions = [open_session(client) for _ in range(6)]
    for _ in range(3):
        for session in sessions:
            assert client.post("/mcp", content=LIST, headers=session).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/mcp/..", "/messages"])
def test_the_proxy_passes_only_the_paths_of_clients(fleet: tuple[httpx.Client, object], path: str) -> None:
    client, _ = fleet
    answer = client.get(path)
    assert answer.status_code == 404


def test_the_sessions_of_a_killed_engine_are_opened_again_at_the_other_one(
    fleet: tuple[httpx.Client, subprocess.Popen[bytes]],
) -> None:
    client, second = fleet
    sessions = [open_session(client) for _ in range(6)]
    second.kill()
    second.wait()
    deadline = time.monotonic() + SECONDS
    answers = [client.post("/mcp", content=LIST, headers=session).status_code for session in sessions]
    while not set(answers) <= {200, 404}:  # until the proxy has noticed
        assert time.monotonic() < deadline
        answers = [client.post("/mcp", content=LIST, headers=session).status_code for session in sessions]
    assert {200, 404} == set(answers)
    again = open_session(client)
    assert client.post("/mcp", content=LIST, headers=again).status_code == 200
