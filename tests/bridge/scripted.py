"""A real bridge process, and an engine that says and does what a test wants: one end of the socket is the test."""

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

from memos_mcp.bridge.main import ENDED_TEXT, UNREACHABLE
from memos_mcp.ipc.handshake import encode
from memos_mcp.ipc.run_dir import ENGINE_LOCK, RunDir

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "memos_mcp")
SECONDS = 5.0
IN_TIME = 3.0
"""Of this it needs a fifth; the rest is for a machine that does much else."""

AT_ONCE = 0.55
"""Less than the grace that it gives to answers under way."""

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
    """Write as fast as it is read, and raise `TimeoutError` when it is not."""
    os.set_blocking(descriptor, False)
    takes = select.poll()
    takes.register(descriptor, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if not takes.poll(SECONDS * 1000):
            raise TimeoutError(f"{len(rest)} bytes are not read")
        with suppress(BlockingIOError):
            rest = rest[os.write(descriptor, rest) :]


class Hearing:
    """The lines that come from a descriptor, within bounds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = bytearray()

    def line(self, seconds: float = SECONDS) -> bytes:
        """Return the next line without its end; raise `EOFError` when there is none, `TimeoutError` if it is late."""
        searched = 0
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            if not (chunk := self._receive(seconds)):
                raise EOFError(bytes(self._held))
            self._held += chunk
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line

    def message(self) -> Message:
        return cast("Message", json.loads(self.line()))

    def messages(self, count: int) -> list[Message]:
        return [self.message() for _ in range(count)]

    def has_something(self) -> bool:
        """Wait until something has come; it is left there."""
        return bool(select.select([self._descriptor], [], [], SECONDS)[0])

    def rest(self) -> bytes:
        """Return all that comes until the end."""
        while chunk := self._receive():
            self._held += chunk
        return bytes(self._held)

    def _receive(self, seconds: float = SECONDS) -> bytes:
        comes = select.poll()
        comes.register(self._descriptor, select.POLLIN)
        if not comes.poll(seconds * 1000):
            raise TimeoutError(f"nothing came after {bytes(self._held[-200:])!r}")
        return os.read(self._descriptor, 1 << 20)


class Engine:
    """Holds the lock of a data folder and listens; after each session the next connection is the next engine."""

    def __init__(self, home: Path) -> None:
        self.place = RunDir(str(home))
        self.place.prepare()
        lock = self.place.hold(ENGINE_LOCK)
        assert lock is not None
        self._lock = lock
        self._listener = self.place.listen()
        self._listener.settimeout(SECONDS)

    def accept(self, **told: Any) -> "Session":
        """Take the next connection, read its greeting, and answer "welcome" or what else is to be told."""
        session = self.accept_silently()
        session.tell(**(told or {"answer": "welcome"}))
        return session

    def accept_silently(self) -> "Session":
        connection, _ = self._listener.accept()
        return Session(connection.detach())

    def is_sought(self) -> bool:
        """Tell whether somebody has connected and not been accepted."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self) -> None:
        self.place.leave()
        self._listener.close()
        os.close(self._lock)


class Session:
    """One connection to the scripted engine."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.hearing = Hearing(descriptor)
        self.greeting = self.hearing.message()

    def hear(self) -> Message:
        return self.hearing.message()

    def say(self, *messages: Message) -> None:
        self.write(lines(*messages))

    def tell(self, **told: Any) -> None:
        self.write(encode(**told))

    def write(self, data: bytes) -> None:
        write_all(self.descriptor, data)

    def close(self) -> None:
        os.close(self.descriptor)


class Client:
    """What a client holds of the bridge that it has launched."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.hearing = Hearing(process.stdout.fileno())

    def hear(self) -> Message:
        return self.hearing.message()

    def say(self, *messages: Message) -> None:
        self.write(lines(*messages))

    def write(self, data: bytes) -> None:
        write_all(self.stdin.fileno(), data)

    def shakes_hands(self, session: Session) -> None:
        """Open an MCP session with this engine."""
        self.say(INITIALIZE)
        assert session.hear() == INITIALIZE
        session.say(answer("hello", serverInfo={}))
        assert self.hear() == answer("hello", serverInfo={})
        self.say(INITIALIZED)
        assert session.hear() == INITIALIZED

    def leaves(self, *, unanswered: int | None = None) -> None:
        """Close the bridge's input: it has nothing more to say, and ends well."""
        self.stdin.close()
        self.sees_it_end(unanswered=unanswered)

    def sees_it_end(self, *, within: float = IN_TIME, unanswered: int | None = None) -> None:
        """See the bridge end in good order and in time; its only words are an error for call 1 if that is left."""
        begun = time.monotonic()
        code = self.process.wait(SECONDS)
        took = time.monotonic() - begun
        if unanswered is not None:
            left = self.hear()
            assert (left["id"], left["error"]["code"]) == (1, unanswered)
            assert "Repeat" in left["error"]["message"]
        assert (code, self.hearing.rest()) == (0, b"")
        assert self.stderr.read() == (f"memos-as: {ENDED_TEXT}\n".encode() if unanswered == UNREACHABLE else b"")
        assert took < within


@contextmanager
def launched(home: Path, cwd: Path = ROOT, **environment: str) -> Iterator[Client]:
    """Launch a bridge for this data folder, as clients do: with little in its environment."""
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
