"""The clients of an engine, and whether it is stopping."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import anyio

from memos_mcp import __version__
from memos_mcp.app import App
from memos_mcp.domain.errors import MemosError
from memos_mcp.ipc.handshake import encode
from memos_mcp.ipc.run_dir import RunDir

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 10.0
NOTICE_SECONDS: Final = 2.0
"""How long a client has, after the shutdown notice, to end its requests."""

FIRST_CLIENT_SECONDS: Final = 10.0
READY_SECONDS: Final = 2.0


class ClientRegistry:
    """Counts the clients, and stops the engine. `drained` is set when the engine is stopping and none remains."""

    def __init__(self, app: App, run_dir: RunDir, *, foreground: bool) -> None:
        self.app = app
        self.run_dir = run_dir
        self.foreground = foreground
        self.url: str | None = None
        self.failure: MemosError | None = None
        self.stopping = anyio.Event()
        self.drained = anyio.Event()
        self._clients = 0
        self._handshakes: set[anyio.CancelScope] = set()
        self._started_at = datetime.now(UTC)
        self._idle_since = anyio.current_time() + FIRST_CLIENT_SECONDS

    @property
    def in_use(self) -> bool:
        """Whether a client is being served."""
        return self._clients > 0

    @property
    def shutdown_notice(self) -> bytes:
        """The line that sends a client to the next engine, or reports that none can serve it."""
        if self.failure is not None:
            return encode(answer="refused", reason=str(self.failure))
        return encode(answer="leaving")

    def stop(self, reason: str) -> None:
        """Begin to stop: clients get the shutdown notice, and no new one is accepted."""
        if self.stopping.is_set():
            return
        logger.info("stopping: %s", reason)
        self.stopping.set()
        for scope in self._handshakes:
            scope.deadline = min(scope.deadline, anyio.current_time() + NOTICE_SECONDS)

    def fail(self, failure: MemosError) -> None:
        """Stop because no client can be served."""
        self.failure = failure
        self.stop(str(failure))

    @contextmanager
    def track_client(self) -> Iterator[None]:
        """Count a client as being served."""
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1
            self._idle_since = anyio.current_time()

    @contextmanager
    def handshake_timeout(self) -> Iterator[None]:
        """Bound the time in which a client makes the handshake."""
        with anyio.move_on_after(NOTICE_SECONDS if self.stopping.is_set() else HANDSHAKE_SECONDS) as scope:
            self._handshakes.add(scope)
            try:
                yield
            finally:
                self._handshakes.discard(scope)

    def is_idle(self, seconds: float) -> bool:
        """Whether no client has been served for this long, and nothing is being indexed."""
        indexer = self.app.indexer
        is_busy = self.in_use or not (indexer.caught_up or indexer.idle or indexer.error)
        return not is_busy and anyio.current_time() >= self._idle_since + seconds

    async def status(self) -> dict[str, Any]:
        """Return what `memos-as status` shows."""
        return {
            "answer": "status",
            "pid": os.getpid(),
            "version": __version__,
            "home": self.run_dir.home,
            "clients": self._clients,
            "http": self.url,
            "foreground": self.foreground,
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "idle_leaves_after": None if self.foreground else self.app.settings.idle_seconds,
            "leaving": self.stopping.is_set(),
            "parts": await self._parts(),
        }

    async def _parts(self) -> dict[str, str]:
        if self.failure is not None:
            return {"postgres": str(self.failure)}
        with anyio.move_on_after(READY_SECONDS):
            return await self.app.readiness()
        return {"postgres": f"no answer within {READY_SECONDS:g} seconds"}
