"""A fleet as processes: engines that serve over HTTP on one PostgreSQL and one index server, and a newer build."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx
from latency_homes import ROOT
from line_client import environment

from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

TOKEN = "a-token-of-the-benchmark"
START_SECONDS = 600.0
STOP_SECONDS = 300.0
POLL_SECONDS = 0.02
DRAIN_SECONDS = "1"

ADDITIVE = """-- additive
ALTER TABLE agent_memories ADD COLUMN rolled_out timestamptz;
ALTER TABLE index_queue ADD COLUMN rolled_out timestamptz;
CREATE TABLE rollouts (started_at timestamptz NOT NULL DEFAULT now());
"""
"""The migration that the newer build adds."""


def free_port() -> int:
    """Return a port that is free right now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def newer_build(folder: Path) -> Path:
    """Copy this checkout with another version and one more migration; return the folder to run it from."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("memos_mcp", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    last = max(int(file.name[:4]) for file in (folder / "migrations").glob("*.sql"))
    (folder / "migrations" / f"{last + 1:04}_record_rollouts.sql").write_text(ADDITIVE, encoding="utf-8")
    version = folder / "memos_mcp" / "__init__.py"
    text = re.sub(r'__version__ = ".*"', '__version__ = "99.0.0"', version.read_text(encoding="utf-8"))
    version.write_text(text, encoding="utf-8")
    return folder


@dataclass
class Engine:
    """An engine of a build, with a data folder and a port of its own. Its log is beside the data folder."""

    home: Path
    settings: Mapping[str, str]
    build: Path = ROOT
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> bool:
        """Whether the engine answers that it can serve."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def start(self) -> None:
        """Start the engine; it is ready later."""
        own = environment(self.home, port=str(self.port), auth_token=TOKEN, drain_seconds=DRAIN_SECONDS)
        with self.home.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "memos_mcp", "serve"],
                cwd=self.build,
                env={**own, "PYTHONPATH": str(self.build), **self.settings},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Wait until the engine serves; stop the benchmark when it does not."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready:
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"an engine does not serve:\n{self.home.with_suffix('.log').read_text()[-2_000:]}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill the engine as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the engine as an orchestrator does; it drains first."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


@contextmanager
def running_fleet(folder: Path, engines: int) -> Iterator[list[Engine]]:
    """Start the stores and so many engines, which are ready; stop them all at the end."""
    server = EmbeddedPostgres(folder / "postgres")
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("index_server.py")), "--port", str(port)]
    index = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    fleet: list[Engine] = []
    try:
        settings = {
            "MEMOS_DATABASE_URL": anyio.run(server.start),
            "MEMOS_QDRANT_URL": f"http://127.0.0.1:{port}",
        }
        for number in range(engines):
            home = folder / f"engine-{number + 1}"
            home.mkdir()
            fleet.append(Engine(home, settings))
            fleet[-1].start()
            fleet[-1].wait_until_ready()
        yield fleet
    finally:
        for engine in fleet:
            engine.stop()
        index.kill()
        index.wait()
        anyio.run(server.stop)
