"""Real processes with their own home: the bridge of a client and the engine that it starts, or a server."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import psutil

from memos_mcp.ipc.handshake import request_line
from memos_mcp.ipc.run_dir import RunDir

START_SECONDS = 60
STOP_SECONDS = 20
EXIT_SECONDS = 10
"""The maximum time between the release of a home by its engine and the exit of the process."""


@dataclass
class Server:
    """A process with a home, started by the constructor; without arguments a bridge, which starts an engine."""

    home: Path
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.home.parent.mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self._stderr.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "memos_mcp", *self.arguments],
                env={**environment, "MEMOS_HOME": str(self.home), **self.settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )

    @property
    def log(self) -> str:
        """The log of this process and of the engines of its home."""
        files = [self._stderr, *(self.home / "logs").glob("engine.log*")]
        return "".join(file.read_text() for file in files)

    @property
    def url(self) -> str:
        """The URL of an HTTP server."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"serves (http://\S+)/mcp", self._stderr.read_text()):
                return found[1]
            time.sleep(0.02)
        raise AssertionError(self.log)

    @property
    def token_header(self) -> dict[str, str]:
        """The header with the token that an HTTP server has made for itself; it has when it has a URL."""
        assert self.url
        return {"authorization": f"Bearer {(self.home / 'http-token').read_text().strip()}"}

    @property
    def engine(self) -> int | None:
        """The id of the process that serves this home through its socket."""
        return RunDir(str(self.home)).engine_pid()

    def leave(self) -> None:
        """Stop the process as users do; other processes of the home continue."""
        if "serve" in self.arguments:
            self.process.send_signal(signal.SIGTERM)
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            code = self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()
        assert code == 0, self.log

    def stop(self) -> None:
        """Stop the process as users do, and its engine, and check that no process remains."""
        try:
            self.leave()
            self._stop_engine()
            assert _within(EXIT_SECONDS, lambda: not self._processes()), self._processes()
            assert not self._postmaster.exists(), "Postgres still runs"
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill all processes of the home."""
        self.process.kill()
        self.process.wait()
        remaining = self._processes()
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(remaining, STOP_SECONDS)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def rows(self, query: str, *values: object) -> list[Any]:
        """Query the database of the server directly."""
        if (url := self.settings.get("MEMOS_DATABASE_URL")) is not None:
            connection = await asyncpg.connect(url)
        else:
            lines = self._postmaster.read_text().splitlines()
            connection = await asyncpg.connect(host=lines[4], port=int(lines[3]), user="postgres", database="memos")
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    def _stop_engine(self) -> None:
        if (connection := RunDir(str(self.home)).connect()) is None:
            return
        with connection:
            connection.settimeout(STOP_SECONDS)
            connection.sendall(request_line("stop", {}))
            assert b'"leaving"' in connection.recv(1_000)
        assert _within(STOP_SECONDS, lambda: self.engine is None), "the engine does not stop"

    def _processes(self) -> list[psutil.Process]:
        """Return the processes of this home: those with its path in their environment or command line."""
        home, found = os.fsencode(self.home), []
        for process in psutil.process_iter(["environ", "cmdline", "status"]):
            values = [*(process.info["environ"] or {}).values(), *(process.info["cmdline"] or [])]
            if process.info["status"] != psutil.STATUS_ZOMBIE and any(home in os.fsencode(value) for value in values):
                found.append(process)
        return found

    @property
    def _stderr(self) -> Path:
        return self.home.with_suffix(".log")

    @property
    def _postmaster(self) -> Path:
        return self.home / "postgres" / "data" / "postmaster.pid"


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held
