"""The stage of the demo: a temporary folder, its processes, and the check that all of them have stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from sqlite3 import connect
from tempfile import TemporaryDirectory
from typing import Final

import psutil

EXAMPLES: Final = Path(__file__).parents[1]
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05


class Stage:
    """A folder with a data folder for memOS.as, and the programs that were started on it."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self.home = folder / "home"
        self.todo_file = folder / "todo.db"
        self.log = folder / "services.log"
        self.settings = {
            "MEMOS_HOME": str(self.home),
            "MEMOS_AGENT_ID": "orchestrator",
            "MEMOS_LOADOUTS": str(EXAMPLES / "loadouts"),
            "MEMOS_INDEX_WAIT_SECONDS": "30",  # a slow machine takes longer and shows the same
        }
        self._running = running
        self._programs: list[subprocess.Popen[str]] = []

    def start(self, program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Start a program of the examples on a free port; return the address that it prints. `log` has its errors."""
        command = [sys.executable, EXAMPLES / program, "--port", "0", *arguments]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})}
            )
        self._programs.append(process)
        self._running.callback(_end, process)
        line = process.stdout.readline().strip() if process.stdout else ""
        if not line:
            raise SystemExit(f"{program} did not start: {self.log.read_text()}")
        print(f"process {process.pid}: {line}")
        return line.partition(": ")[2]

    def memos(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of `memos-as` on this home to its end, with `given` as its input, and print its output."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_")}
        done = subprocess.run(
            [sys.executable, "-m", "memos_mcp", *arguments],
            env=environment | self.settings,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        output = done.stdout if done.returncode == 0 else done.stdout + done.stderr
        print(f"$ memos-as {' '.join(arguments)}", *(f"  {line}" for line in output.splitlines()), sep="\n")
        return done

    def listed_items(self) -> list[str]:
        """Read the items from the database of the To-Do service, without the service."""
        with closing(connect(f"{self.todo_file.as_uri()}?mode=ro", uri=True)) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM items ORDER BY id")]

    def remaining(self) -> list[str]:
        """Return the processes that still run after all were stopped, waiting up to `STOP_SECONDS`."""
        deadline = time.monotonic() + STOP_SECONDS
        while (remaining := list(self._running_processes())) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return remaining

    def _running_processes(self) -> Iterator[str]:
        yield from (f"process {program.pid}" for program in self._programs if program.poll() is None)
        for process in psutil.process_iter(["cmdline"]):
            command: Sequence[str] = process.info["cmdline"] or ()
            if any(str(self.home) in part for part in command) or self._serves(process):
                yield f"process {process.pid}: {' '.join(command)[:100]}"

    def _serves(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("MEMOS_HOME") == str(self.home)
        except psutil.Error:
            return False  # it has stopped, or belongs to another user


@contextmanager
def stage() -> Iterator[Stage]:
    """Yield a stage; at the end its processes are stopped and its folder is removed."""
    with TemporaryDirectory(prefix="memos-loop-", ignore_cleanup_errors=True) as folder, ExitStack() as running:
        current = Stage(Path(folder), running)
        running.callback(current.memos, "stop")
        yield current


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
