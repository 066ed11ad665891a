"""Starts the processes that the interoperability checks need, with time limits, and stops all of them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server_environment import server_environment

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CACHE = ROOT / "build/interop"
COMMAND = (sys.executable, "-m", "memos_mcp")
SETTINGS = {
    "MEMOS_NAMESPACE": "interop",
    "MEMOS_AGENT_ID": "tester",
    "MEMOS_INDEX_WAIT_SECONDS": "30",  # the first store waits for the model, even on a slow machine
}
READY_SECONDS = 90.0
STOP_SECONDS = 15.0


class Failed(Exception):
    """A step of a check failed. The message names it, with its output."""


@dataclass(frozen=True, slots=True)
class Home:
    """A fresh MEMOS_HOME with the settings of its server."""

    path: Path

    @property
    def env(self) -> dict[str, str]:
        return {"MEMOS_HOME": str(self.path), **SETTINGS}

    def processes(self) -> dict[int, str]:
        """Return the commands of the processes of this home by process id (none without /proc)."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
                searched = command + (process / "environ").read_bytes()
            except OSError:
                continue  # it has exited, or belongs to another user
            if os.fsencode(self.path) in searched and command:
                found[int(process.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:120].strip()
        return found

    def settle(self, seconds: float) -> list[str]:
        """Wait for the processes of this home to exit; return a line for each that still runs."""
        deadline = time.monotonic() + seconds
        while (remaining := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [f"still running {seconds:.0f} s later: {command}" for command in remaining.values()]


@contextmanager
def fresh_home() -> Iterator[Home]:
    """Yield an empty home; afterwards kill its remaining processes and remove it."""
    home = Home(Path(tempfile.mkdtemp(prefix="memos-interop-")))
    try:
        yield home
    finally:
        for process in home.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        home.settle(STOP_SECONDS)
        shutil.rmtree(home.path, ignore_errors=True)


@contextmanager
def stdio_engine(home: Home, command: Sequence[str] = COMMAND) -> Iterator[None]:
    """Let clients start bridges with this home; afterwards stop the one engine that these have started."""
    yield
    stopped = run([*command, "stop"], seconds=STOP_SECONDS, env=home.env)
    if stopped.returncode != 0 or "has stopped" not in stopped.stdout:
        raise Failed(f"the engine was not stopped: {tail(stopped.stdout + stopped.stderr)}")


@contextmanager
def http_server(home: Home, command: Sequence[str] = COMMAND) -> Iterator[str]:
    """Run `serve` with this home; yield its URL once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = home.path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "serve", "--port", str(port)],
            env=environment({**home.env, "MEMOS_AUTH": "none"}),  # the conformance suite sends no token
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    status = "runs" if process.poll() is None else f"ended with exit code {process.poll()}"
    raise Failed(f"the server {status}, but was never ready: {tail(log.read_text(errors='replace'))}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process, then kill it with everything in its session."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)


def run(
    command: Sequence[str | Path], *, seconds: float, env: Mapping[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command; if it takes too long, kill its whole session and raise `Failed`."""
    process = subprocess.Popen(
        command,
        cwd=CACHE,
        env=environment(env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise Failed(f"no end after {seconds:.0f} s: {tail(err or out)}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process without settings of the server, with Node.js from the cache first."""
    ours = server_environment()
    path = os.pathsep.join([str(CACHE / "node_modules/.bin"), ours.get("PATH", os.defpath)])
    return {**ours, "PATH": path, **extra}


def node(script: str) -> list[str | Path]:
    """Return the command for one of our scripts, copied to where Node.js finds its imports."""
    for source in FOLDER.glob("*.mjs"):
        shutil.copy(source, CACHE)
    return [CACHE / "node_modules/.bin/node", CACHE / script]


def parsed(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON that a command printed; raise `Failed` if it failed or printed something else."""
    try:
        found = json.loads(result.stdout) if result.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Failed(f"exit code {result.returncode}: {tail(result.stderr or result.stdout)}")
    return found


def tail(text: str) -> str:
    """Return the end of the output of a process."""
    return text.strip()[-1_500:]
