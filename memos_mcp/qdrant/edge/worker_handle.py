"""The engine's side of an index process: starts, asks and stops it. The event loop never waits for a shard."""

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
from anyio.abc import Process
from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Entry, ItemKind, Vector
from memos_mcp.qdrant.edge.generations import Generation, remove
from memos_mcp.qdrant.edge.worker import HEADER, body_length, pack, unpack
from memos_mcp.qdrant.lanes import NumberedAnswers
from memos_mcp.qdrant.points import WriteBatch, write_batches

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
RECEIVE_BYTES: Final = 1 << 18
IMPORT_ROOT: Final = Path(__file__).parents[3]
SEARCH_SECONDS: Final = 1.5
"""Time that a search may take, with its wait behind other requests. A process that has answered nothing for as long
counts as not answering."""

LATE_REPLY_SECONDS: Final = 0.05
"""Time in which replies that have arrived already are read."""

FAILED: Final = "The search index could not answer. Repeat the call later."

PIPE_CLOSED: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class WorkerExited(Exception):
    """The index process has ended."""


class Request(NamedTuple):
    """A request to an index process, and the seconds that it may take."""

    operation: str
    arguments: Mapping[str, Any]
    vectors: Iterable[Vector] = ()
    seconds: float | None = None


class WorkerHandle:
    """A running index process. Requests are answered in order.

    One request at a time is in the pipe, and beside it up to two parts of a write: the process, which reads the next
    part without waiting for the engine, is then busy all the time, and a search waits for two parts at most.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._request_lock = anyio.Lock(fast_acquire=True)
        self._numbers = count()
        self._received = bytearray()
        self._sending = anyio.Lock(fast_acquire=True)
        self._reading = anyio.Lock(fast_acquire=True)
        self._replies: dict[int, dict[str, Any] | None] = {}
        self._unanswered: dict[int, float] = {}
        self._last_reply = anyio.current_time()
        self._exited = False

    @classmethod
    async def start(
        cls, folder: Path, dimensions: int, hnsw_threshold: int, lock: int, *, background: bool = False
    ) -> "WorkerHandle":
        """Start a process for the generation in this folder. It holds the lock too until it ends."""
        arguments = [str(folder), str(dimensions), str(hnsw_threshold), str(os.getpid())]
        process = await anyio.open_process(
            [sys.executable, "-m", "memos_mcp.qdrant.edge.worker", *arguments, *(["background"] if background else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            cwd=IMPORT_ROOT,
            start_new_session=True,  # the engine alone handles a Ctrl-C in the terminal
            pass_fds=() if sys.platform == "win32" else (lock,),
        )
        return cls(process)

    @property
    def exited(self) -> bool:
        """Whether the process has ended or can no longer be reached."""
        return self._exited

    async def answers(self) -> bool:
        """Whether the process answers its requests; first reads the replies to those that were given up."""
        if self._overdue:
            with anyio.move_on_after(LATE_REPLY_SECONDS), suppress(*PIPE_CLOSED):
                async with self._reading:
                    while self._overdue:
                        await self._read_reply()
        return not self._overdue

    async def request(
        self, operation: str, vectors: Iterable[Vector] = (), *, seconds: float | None = None, **arguments: Any
    ) -> Any:
        """Return the result.

        Raises `WorkerExited` if the process has ended, `IndexUnavailable` on an error, and `TimeoutError` if it takes
        longer than `seconds`, not counting the requests before it.
        """
        return (await self._ask(Request(operation, arguments, vectors, seconds)))["result"]

    async def search(self, vectors: Iterable[Vector], **arguments: Any) -> NumberedAnswers:
        """Return what `Shards.search` finds. Raises what `request` raises."""
        reply = await self._ask(Request("search", arguments, vectors))
        points, lanes = reply["result"]
        return NumberedAnswers(points, lanes, reply["floats"])

    async def put(self, kind: ItemKind, entries: Iterable[Entry], *, first: float | None, each: float | None) -> None:
        """Write entries in parts, one caller at a time. Raises what `request` raises.

        The process has to answer within `first` seconds before it begins, and within `each` for each part.
        """
        await self._write((put_request(kind, batch, each) for batch in write_batches(entries)), first)

    async def drop(self, kind: ItemKind, items: Sequence[str], *, first: float | None, each: float | None) -> None:
        """Delete items, as `put` writes them."""
        await self._write([Request("drop", {"kind": kind, "items": items}, seconds=each)], first)

    async def stop(self) -> None:
        """Let it finish its requests, flush and exit; kill it after `STOP_SECONDS`."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_SECONDS):
            async with self._request_lock, self._sending:
                self._exited = True
                if self._process.stdin is not None:
                    await self._process.stdin.aclose()
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill it at once. Acknowledged writes are not lost."""
        self._exited = True
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.aclose()

    @property
    def _overdue(self) -> bool:
        """Whether a request waits and nothing was answered for `SEARCH_SECONDS`."""
        oldest = next(iter(self._unanswered.values()), None)
        return oldest is not None and anyio.current_time() - max(oldest, self._last_reply) > SEARCH_SECONDS

    async def _ask(self, request: Request) -> dict[str, Any]:
        async with self._request_lock:
            number = next(self._numbers)
            with self._reporting_exit():
                try:
                    await self._send(number, request)
                    return await self._reply_to(number, request)
                finally:
                    self._replies.pop(number, None)

    async def _write(self, parts: Iterable[Request], first: float | None) -> None:
        """Send each part before the reply to the one before it is read."""
        sent: deque[tuple[int, Request]] = deque()
        with self._reporting_exit():
            try:
                for request in chain([Request("ping", {}, seconds=first)], parts):
                    sent.append((next(self._numbers), request))
                    await self._send(*sent[-1])
                    if len(sent) > 1:
                        await self._reply_to(*sent.popleft())
                while sent:
                    await self._reply_to(*sent.popleft())
            finally:
                for number, _ in sent:
                    self._replies.pop(number, None)

    @contextmanager
    def _reporting_exit(self) -> Iterator[None]:
        try:
            yield
        except PIPE_CLOSED as error:
            self._exited = True
            raise WorkerExited from error

    async def _send(self, number: int, request: Request) -> None:
        message = {"id": number, "operation": request.operation, "arguments": request.arguments}
        frame = pack(message, request.vectors)
        with anyio.fail_after(request.seconds):
            async with self._sending:
                if self._exited:
                    raise WorkerExited
                if self._process.stdin is None:
                    raise anyio.ClosedResourceError
                self._replies[number] = None
                self._unanswered[number] = anyio.current_time()
                await self._process.stdin.send(frame)  # once called, all is sent, even if the wait is cancelled

    async def _reply_to(self, number: int, request: Request) -> dict[str, Any]:
        try:
            with anyio.fail_after(request.seconds):
                while (reply := self._replies[number]) is None:
                    async with self._reading:
                        if self._replies[number] is None:
                            await self._read_reply()
        finally:
            del self._replies[number]
        if "error" in reply:
            logger.error("The index process could not %s: %s", request.operation, reply["error"])
            raise IndexUnavailable(FAILED)
        return reply

    async def _read_reply(self) -> None:
        """Read a reply, and keep it unless its request was given up."""
        while (reply := self._take_reply()) is None:
            if self._process.stdout is None:
                raise anyio.ClosedResourceError
            self._received += await self._process.stdout.receive(RECEIVE_BYTES)
        self._unanswered.pop(reply["id"], None)
        self._last_reply = anyio.current_time()
        if reply["id"] in self._replies:
            self._replies[reply["id"]] = reply

    def _take_reply(self) -> dict[str, Any] | None:
        header = bytes(self._received[: HEADER.size])
        if len(header) < HEADER.size or len(self._received) < HEADER.size + body_length(header):
            return None
        end = HEADER.size + body_length(header)
        body = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        message, floats = unpack(header, body)
        return {**message, "floats": floats}


@dataclass(frozen=True, slots=True)
class RunningGeneration:
    """A generation and the process that holds it."""

    generation: Generation
    worker: WorkerHandle

    async def discard(self) -> None:
        """Kill the process and remove the folder, even if the caller is cancelled."""
        with anyio.CancelScope(shield=True):
            await self.worker.kill()
            await self._remove()

    async def retire(self, *, keep: bool) -> None:
        """Stop the process and remove the folder, unless it is kept. Errors are only logged: the swap is done."""
        try:
            await self.worker.stop()
        except Exception:
            logger.exception("The process of an old generation of the search index did not end cleanly")
        if not keep:
            await self._remove()

    async def _remove(self) -> None:
        with anyio.CancelScope(shield=True):
            await run_sync(remove, self.generation.path)


def put_request(kind: ItemKind, batch: WriteBatch, seconds: float | None = None) -> Request:
    """Return the request to write a batch. A text that finds several points is sent once."""
    numbers: dict[str, int] = {}
    points = [
        (one.id, one.payload, [(numbers.setdefault(text, len(numbers)), weight) for text, weight in one.weighted_texts])
        for one in batch.points
    ]
    arguments = {"kind": kind, "texts": list(numbers), "points": points, "complete": batch.complete}
    return Request("put", arguments, [point.vector for point in batch.points], seconds)
