"""A cheap client: launches `memos-as` on a home folder and exchanges raw lines of MCP with it, without an SDK.

It blocks, so a measured time consists of the server's time, two pipes and a few JSON calls.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

PROTOCOL_VERSION = "2025-11-25"
TIMEOUT_SECONDS = 120.0
CHUNK_BYTES = 1 << 16
LEAVE_SECONDS = 20.0

OURS = (sys.executable, "-m", "memos_mcp")
IN_PROCESS = (*OURS, "--in-process")


class ToolFailed(Exception):
    """A call was answered with an error: the tool's own, or a protocol error, which has a `code`."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class LineClient:
    """One stdio server process and its pipes. `launched` is the `time.perf_counter` at the start of the process.

    `command` launches it, by default this package; `variables` are added to its environment.
    """

    def __init__(
        self,
        home: Path,
        variables: Mapping[str, str] | None = None,
        /,
        *,
        command: Sequence[str] = OURS,
        stderr: IO[bytes] | int | None = None,
        **settings: str,
    ) -> None:
        self.launched = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**environment(home, **settings), **(variables or {})},
            bufsize=0,
        )
        self._received = bytearray()
        self._number = 0

    def initialize(self) -> dict[str, Any]:
        """Open the session; return the result of `initialize`."""
        result = self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "capabilities": {},
                "clientInfo": {"name": "line-client", "version": "1"},
            },
        )
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return result

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request without waiting for its answer; return its id. Raises `OSError` when the server has exited."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method}
        self._write(message if params is None else {**message, "params": params})
        return self._number

    def send_call(self, tool: str, arguments: Mapping[str, Any]) -> int:
        """Send a tool call without waiting for its answer; return its id."""
        return self.send("tools/call", {"name": tool, "arguments": arguments})

    def receive(self, seconds: float = TIMEOUT_SECONDS) -> dict[str, Any] | None:
        """Return the next message, or None when the server has closed its pipe. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while (end := self._received.find(b"\n")) < 0:
            if not select.select([self._stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the server sent nothing within {seconds:g} s")
            chunk = os.read(self._stdout.fileno(), CHUNK_BYTES)
            if not chunk:
                return None
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its result."""
        number = self.send(method, params)
        while (message := self.receive()) is not None:
            if message.get("id") == number:
                return _result(message)
        raise EOFError("the server has ended")

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured result."""
        return structured(self.request("tools/call", {"name": tool, "arguments": arguments}))

    def call_all(
        self, tool: str, calls: Sequence[Mapping[str, Any]], *, in_flight: int = 16
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Make many calls, at most `in_flight` at a time; yield the index and result of each call when it is answered.

        Stops early, without an error, when the server exits.
        """
        indexes: dict[int, int] = {}
        pending: Iterator[tuple[int, Mapping[str, Any]]] = iter(enumerate(calls))
        while True:
            try:
                while len(indexes) < in_flight and (following := next(pending, None)) is not None:
                    indexes[self.send_call(tool, following[1])] = following[0]
            except OSError:
                pending = iter(())
            if not indexes or (message := self.receive()) is None:
                return
            index = indexes.pop(message.get("id", 0), None)
            if index is not None:
                yield index, structured(_result(message))

    def close(self) -> int:
        """Close the pipes, wait until the server exits, and return its exit code."""
        self._stdin.close()
        code = self.process.wait(TIMEOUT_SECONDS)
        self._stdout.close()
        return code

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._stdin.close()
        self._stdout.close()

    def _write(self, message: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(message).encode() + b"\n")
        while rest:
            rest = rest[self._stdin.write(rest) :]

    @property
    def _stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


@contextmanager
def opened(client: LineClient) -> Iterator[LineClient]:
    """Yield a client with an open session; stop its server afterwards, in any case."""
    try:
        client.initialize()
        yield client
        client.close()
    finally:
        if client.process.poll() is None:
            client.kill()


@contextmanager
def connected(
    home: Path, *, command: Sequence[str] = OURS, stderr: IO[bytes] | int | None = None, **settings: str
) -> Iterator[LineClient]:
    """Yield a client with an open session; stop its server and the home's engine afterwards, in any case."""
    try:
        with opened(LineClient(home, command=command, stderr=stderr, **settings)) as client:
            yield client
    finally:
        stop_engine(home)


def stop_engine(home: Path) -> list[str]:
    """Stop the home's engine, if any; kill processes that do not exit, and return the command lines of these."""
    stopped = subprocess.run([*OURS, "stop"], env=environment(home), stdout=subprocess.DEVNULL, check=False)
    deadline = time.monotonic() + LEAVE_SECONDS
    while (remaining := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if stopped.returncode != 0 or remaining:
        print(
            f"`memos-as stop` exited with {stopped.returncode}; still running: {sorted(remaining.values())}",
            file=sys.stderr,
        )
    for process, command in remaining.items():
        if "memos_mcp" in command or "postgres" in command:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    return sorted(remaining.values())


def engine_of(home: Path) -> int | None:
    """Return the process that the engine's lock file names, if it is a running engine.

    The lock itself is not acquired: a starting engine would take this process for another engine.
    """
    with suppress(OSError, ValueError):
        number = int((home / "run" / "engine.lock").read_text())
        if is_engine(command_line(number)):
            return number
    return None


def engines_of(home: Path) -> set[int]:
    """Return the engines of a home once there is at most one: an engine that lost the race needs a moment to exit."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while True:
        engines = {number for number, command in processes_of(home).items() if is_engine(command)}
        if len(engines) <= 1 or time.monotonic() > deadline:
            return engines
        time.sleep(0.02)


def command_line(process: int) -> str:
    """Return the command line of a process; an empty string when it has exited, even as a zombie."""
    with suppress(OSError):
        return (
            (Path("/proc") / str(process) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
            .strip()
        )
    return ""


def is_engine(command: str) -> bool:
    return "memos_mcp engine" in command


def is_bridge(command: str) -> bool:
    return command.endswith("-m memos_mcp")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return this process's environment with these settings of the server only.

    The server may keep compiled modules, as it does where it is installed.
    """
    dropped = "PYTHONDONTWRITEBYTECODE"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMOS_") and name != dropped}
    return {**kept, "MEMOS_HOME": str(home), **{f"MEMOS_{name.upper()}": value for name, value in settings.items()}}


def structured(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the structured content of a tool's result; raise `ToolFailed` when it is an error."""
    if result.get("isError"):
        raise ToolFailed(result["content"][0]["text"])
    content: dict[str, Any] = result["structuredContent"]
    return content


def processes_of(home: Path) -> dict[int, str]:
    """Return the command lines of the running processes that use a home folder, by process id (Linux)."""
    return {int(folder.name): line for folder in Path("/proc").glob("[0-9]*") if (line := _command_on(folder, home))}


def _command_on(process: Path, home: Path) -> str | None:
    try:
        command = command_line(int(process.name))
        working_folder = (process / "cwd").readlink()
        settings = (process / "environ").read_bytes()
    except OSError:
        return None
    named = re.compile(rf"{re.escape(str(home))}(?![\w.-])")  # /tmp/10000 is not part of /tmp/100000
    uses_home = named.search(command) or working_folder.is_relative_to(home) or named.search(os.fsdecode(settings))
    return command if uses_home and int(process.name) != os.getpid() else None


def _result(message: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in message:
        raise ToolFailed(message["error"]["message"], message["error"]["code"])
    result: dict[str, Any] = message["result"]
    return result
