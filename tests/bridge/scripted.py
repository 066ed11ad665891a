"""A real bridge process between a client and an engine that are both scripted by the test."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from memos_mcp.bridge.main import STOPPED_TEXT, UNREACHABLE
from memos_mcp.ipc.handshake import encode
from memos_mcp.ipc.run_dir import ENGINE_LOCK, RunDir

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "memos_mcp")
SECONDS = 5.0
IN_TIME = 3.0
"""A fifth of it is enough on an idle machine."""

AT_ONCE = 0.55
"""Less than the time that the bridge gives to answers under way."""

Message = dict[str, Any]


def request(method: str, request_id: int | str, **params: Any) -> Message:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def call(request_id: int | str, **arguments: Any) -> Message:
    return request("tools/call", request_id, name="store_memory", arguments=arguments)


def notification(method: str, **params: Any) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def answer(request_id: int | str, **result: Any) -> Message:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


INITIALIZE = request("initialize", "hello", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def lines(*messages: Message) -> bytes:
    return b"".join(json.dumps(message, ensure_ascii=False).encode() + b"\n" for message in messages)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it; raise `TimeoutError` when nothing is read for `SECONDS`."""
    os.set_blocking(descriptor, False)
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    remaining = memoryview(data)
    while remaining:
        if not writable.poll(SECONDS * 1000):
            raise TimeoutError(f"{len(remaining)} bytes are not read")
        with suppress(BlockingIOError):
            remaining = remaining[os.write(descriptor, remaining) :]


class LineReader:
    """Reads lines from a file descriptor, with a timeout."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffered = bytearray()

    def line(self, seconds: float = SECONDS) -> bytes:
        """Return the next line without its line break; raise `EOFError` at the end, `TimeoutError` if none comes."""
        searched = 0
        while (end := self._buffered.find(b"\n", searched)) < 0:
            searched = len(self._buffered)
            if not (chunk := self._receive(seconds)):
                raise EOFError(bytes(self._buffered))
            self._buffered += chunk
        line = bytes(self._buffered[:end])
        del self._buffered[: end + 1]
        return line

    def message(self) -> Message:
        return cast("Message", json.loads(self.line()))

    def messages(self, count: int) -> list[Message]:
        return [self.message() for _ in range(count)]

    def wait_readable(self) -> bool:
        """Wait until there is something to read; return whether there is."""
        return bool(select.select([self._descriptor], [], [], SECONDS)[0])

    def rest(self) -> bytes:
        """Return everything until the end."""
        while chunk := self._receive():
            self._buffered += chunk
        return bytes(self._buffered)

    def _receive(self, seconds: float = SECONDS) -> bytes:
        readable = select.poll()
        readable.register(self._descriptor, select.POLLIN)
        if not readable.poll(seconds * 1000):
            raise TimeoutError(f"nothing came after {bytes(self._buffered[-200:])!r}")
        return os.read(self._descriptor, 1 << 20)


class Engine:
    """Holds the lock of a data folder and listens. Each further connection stands for the next engine."""

    def __init__(self, home: Path) -> None:
        self.run_dir = RunDir(str(home))
        self.run_dir.prepare()
        lock = self.run_dir.try_lock(ENGINE_LOCK)
        assert lock is not None
        self._lock = lock
        self._listener = self.run_dir.listen()
        self._listener.settimeout(SECONDS)

    def accept(self, **payload: Any) -> "Session":
        """Accept the next connection, read its request, and answer "welcome" or this payload."""
        session = self.accept_silently()
        session.send_private(**(payload or {"answer": "welcome"}))
        return session

    def accept_again(self) -> "Session":
        """Accept a bridge that had another engine before, and answer the initialization that it repeats."""
        session = self.accept()
        assert session.read() == INITIALIZE
        session.send(answer("hello"))
        return session

    def accept_silently(self) -> "Session":
        connection, _ = self._listener.accept()
        return Session(connection.detach())

    def has_waiting_client(self) -> bool:
        """Whether a client has connected and has not been accepted."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self) -> None:
        self.run_dir.remove_socket()
        self._listener.close()
        os.close(self._lock)


class Session:
    """One connection to the scripted engine."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.reader = LineReader(descriptor)
        self.request = self.reader.message()

    def read(self) -> Message:
        return self.reader.message()

    def send(self, *messages: Message) -> None:
        self.write(lines(*messages))

    def send_private(self, **payload: Any) -> None:
        self.write(encode(**payload))

    def write(self, data: bytes) -> None:
        write_all(self.descriptor, data)

    def close(self) -> None:
        os.close(self.descriptor)


class Client:
    """The client's ends of the pipes of a bridge that it has launched."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.reader = LineReader(process.stdout.fileno())

    def read(self) -> Message:
        return self.reader.message()

    def send(self, *messages: Message) -> None:
        self.write(lines(*messages))

    def write(self, data: bytes) -> None:
        write_all(self.stdin.fileno(), data)

    def initialize(self, session: Session) -> None:
        """Open an MCP session with this engine."""
        self.send(INITIALIZE)
        assert session.read() == INITIALIZE
        session.send(answer("hello", serverInfo={}))
        assert self.read() == answer("hello", serverInfo={})
        self.send(INITIALIZED)
        assert session.read() == INITIALIZED

    def close(self, *, unanswered: int | None = None) -> None:
        """Close the bridge's input, and see it exit cleanly."""
        self.stdin.close()
        self.wait_closed(unanswered=unanswered)

    def wait_closed(self, *, within: float = IN_TIME, unanswered: int | None = None) -> None:
        """See the bridge exit cleanly and in time; its only output is an error for call 1, if that has no answer."""
        begun = time.monotonic()
        code = self.process.wait(SECONDS)
        took = time.monotonic() - begun
        if unanswered is not None:
            error = self.read()
            assert (error["id"], error["error"]["code"]) == (1, unanswered)
            assert "Repeat" in error["error"]["message"]
        assert (code, self.reader.rest()) == (0, b"")
        assert self.stderr.read() == (f"memos-as: {STOPPED_TEXT}\n".encode() if unanswered == UNREACHABLE else b"")
        assert took < within


@contextmanager
def launched(home: Path, cwd: Path = ROOT, **environment: str) -> Iterator[Client]:
    """Launch a bridge for this data folder as clients do, with a small environment."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        COMMAND, cwd=cwd, env=environment_of(home, **environment), stdin=pipe, stdout=pipe, stderr=pipe
    )
    with process:
        try:
            yield Client(process)
        finally:
            process.kill()
            if process.stdin:
                process.stdin.close()


def environment_of(home: Path | str, **more: str) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MEMOS_HOME": str(home), **more}
