"""Real server processes with a home of their own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import psutil

START_SECONDS = 60
STOP_SECONDS = 20


@dataclass
class Server:
    """A server process, started when it is made. `url` is known once an HTTP server says it."""

    home: Path
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "memos_mcp", *self.arguments],
                env={**environment, "MEMOS_HOME": str(self.home), **self.settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )

    @property
    def log(self) -> Path:
        return self.home.with_suffix(".log")

    @property
    def url(self) -> str:
        """Where an HTTP server listens."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"serves (http://\S+)/mcp", self.log.read_text()):
                return found[1]
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        """End the process as its users do, and see that it leaves nothing behind."""
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]
        if self.arguments:
            self.process.send_signal(signal.SIGTERM)
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            code = self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()
        assert code == 0, self.log.read_text()
        assert [pid for pid in family if psutil.pid_exists(pid)] == []
        assert not self._postmaster.exists(), "Postgres still runs"

    async def rows(self, query: str, *values: object) -> list[Any]:
        """Ask the server's own database what it really holds."""
        lines = self._postmaster.read_text().splitlines()
        connection = await asyncpg.connect(host=lines[4], port=int(lines[3]), user="postgres", database="memos")
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    @property
    def _postmaster(self) -> Path:
        return self.home / "postgres" / "data" / "postmaster.pid"


def share_model(home: Path, models: Path) -> Path:
    """Let a new home use the model that another one built; return the home."""
    home.mkdir(parents=True, exist_ok=True)
    models.mkdir(exist_ok=True)
    (home / "models").symlink_to(models)
    return home
