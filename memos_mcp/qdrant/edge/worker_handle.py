"""The engine's end of an index process: starts it, asks it, stops it; the event loop never waits for a shard."""

import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import Process

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Vector
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.protocol import HEAD, length, pack, unpack

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 10.0
CHUNK: Final = 1 << 18
IMPORT_ROOT: Final = Path(__file__).parents[3]
FAILED: Final = "The search index could not answer. Repeat the call later."


class WorkerExited(Exception):
    """The index process has ended."""


class WorkerHandle:
    """A running index process. Requests are answered in order, one at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._turn = anyio.Lock()
        self._numbers = itertools.count()
        self._received = bytearray()
        self._gone = False

    @classmethod
    async def start(
        cls, folder: Path, dimensions: int, hnsw_threshold: int, lock: int, *, background: bool = False
    ) -> "WorkerHandle":
        """Start a process for the generation in this folder; it holds the lock too, for as long as it lives."""
        arguments = [str(folder), str(dimensions), str(hnsw_threshold), str(os.getpid())]
        process = await anyio.open_process(
            [sys.executable, "-m", "memos_mcp.qdrant.edge.worker", *arguments, *(["background"] if background else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            cwd=IMPORT_ROOT,
            start_new_session=True,  # a Ctrl-C in the terminal is the engine's to handle
            pass_fds=(lock,),
        )
        return cls(process)

    @property
    def gone(self) -> bool:
        """Whether the process has ended, or can no longer be talked to."""
        return self._gone

    async def ask(self, operation: str, vectors: Iterable[Vector] = (), **arguments: Any) -> Any:
        """Return the answer; raise `Gone` when the process has ended, `IndexUnavailable` when it failed."""
        async with self._turn:
            if self._gone:
                raise WorkerExited
            number = next(self._numbers)
            request = pack({"id": number, "operation": operation, "arguments": arguments}, vectors)
            try:
                reply = await self._exchange(number, request)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                self._gone = True
                raise WorkerExited from error
        if "error" in reply:
            logger.error("The index process could not %s: %s", operation, reply["error"])
            raise IndexUnavailable(FAILED)
        return reply.get("result")

    async def stop(self) -> None:
        """Let it finish what it was asked, flush and end; kill it if that takes too long."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_SECONDS):
            async with self._turn:
                self._gone = True
                if self._process.stdin is not None:
                    await self._process.stdin.aclose()
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End it at once: nothing that it has answered is lost."""
        self._gone = True
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.aclose()

    async def _exchange(self, number: int, request: bytes) -> dict[str, Any]:
        """Send a request and wait for its reply, passing over replies to callers that were cancelled meanwhile."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise anyio.ClosedResourceError
        await stdin.send(request)
        while True:
            reply = self._next_reply()
            if reply is None:
                self._received += await stdout.receive(CHUNK)
            elif reply["id"] == number:
                return reply

    def _next_reply(self) -> dict[str, Any] | None:
        head = bytes(self._received[: HEAD.size])
        if len(head) < HEAD.size or len(self._received) < HEAD.size + length(head):
            return None
        end = HEAD.size + length(head)
        body = bytes(self._received[HEAD.size : end])
        del self._received[:end]
        reply: dict[str, Any] = unpack(head, body)[0]
        return reply


@dataclass(frozen=True, slots=True)
class RunningGeneration:
    """A generation and the process that holds it."""

    generation: Generation
    host: WorkerHandle
