"""Who is here, and whether the engine is leaving."""

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

GREETING_SECONDS: Final = 10.0
FAREWELL_SECONDS: Final = 2.0
"""How long a client has, once it was told that the engine leaves, to say that it sends no more."""

FIRST_VISIT_SECONDS: Final = 10.0
READY_SECONDS: Final = 2.0


class ClientRegistry:
    """Who is being served, and whether the engine is leaving. `left` is set when the last of them has gone."""

    def __init__(self, app: App, place: RunDir, *, foreground: bool) -> None:
        self.app = app
        self.place = place
        self.foreground = foreground
        self.url: str | None = None
        self.failure: MemosError | None = None
        self.leaving = anyio.Event()
        self.left = anyio.Event()
        self._clients = 0
        self._unheard: set[anyio.CancelScope] = set()
        self._started_at = datetime.now(UTC)
        self._quiet_since = anyio.current_time() + FIRST_VISIT_SECONDS

    @property
    def in_use(self) -> bool:
        """Whether somebody is being served."""
        return self._clients > 0

    @property
    def farewell(self) -> bytes:
        """The line that tells a client to go elsewhere, or that nobody can serve it."""
        if self.failure is not None:
            return encode(answer="refused", reason=str(self.failure))
        return encode(answer="leaving")

    def leave(self, reason: str) -> None:
        """Begin to leave: who is here is told so, nobody else is let in."""
        if self.leaving.is_set():
            return
        logger.info("leaves: %s", reason)
        self.leaving.set()
        for scope in self._unheard:
            scope.deadline = min(scope.deadline, anyio.current_time() + FAREWELL_SECONDS)

    def give_up(self, failure: MemosError) -> None:
        """Leave because nobody can be served."""
        self.failure = failure
        self.leave(str(failure))

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Count somebody as being served."""
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1
            self._quiet_since = anyio.current_time()

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Wait for a greeting, for a bounded time."""
        with anyio.move_on_after(FAREWELL_SECONDS if self.leaving.is_set() else GREETING_SECONDS) as scope:
            self._unheard.add(scope)
            try:
                yield
            finally:
                self._unheard.discard(scope)

    def is_idle(self, seconds: float) -> bool:
        """Tell whether nobody has been served for so long, and nothing is being done."""
        indexer = self.app.indexer
        is_busy = self.in_use or not (indexer.caught_up or indexer.idle or indexer.error)
        return not is_busy and anyio.current_time() >= self._quiet_since + seconds

    async def status(self) -> dict[str, Any]:
        """Return what `memos-as status` shows."""
        return {
            "answer": "status",
            "pid": os.getpid(),
            "version": __version__,
            "home": self.place.home,
            "clients": self._clients,
            "http": self.url,
            "foreground": self.foreground,
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "idle_leaves_after": None if self.foreground else self.app.settings.idle_seconds,
            "leaving": self.leaving.is_set(),
            "parts": await self._parts(),
        }

    async def _parts(self) -> dict[str, str]:
        if self.failure is not None:
            return {"postgres": str(self.failure)}
        with anyio.move_on_after(READY_SECONDS):
            return await self.app.readiness()
        return {"postgres": f"no answer within {READY_SECONDS:g} seconds"}
