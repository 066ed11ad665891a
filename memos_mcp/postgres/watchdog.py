"""Finds out within seconds that Postgres no longer answers, without a limit on how long a statement may run."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

SILENCE_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 3.0
"""A client waits at most five seconds for the error: these two, and one for everything else."""


class Watchdog:
    """Watches calls that wait for Postgres.

    A call that takes longer than `SILENCE_SECONDS` may be a long statement, a wait for a lock or a frozen server, and
    its own connection shows no difference. So the server is probed on another connection, again and again until the
    call returns. A server that answers may take its time; if it does not answer, the call is given up.
    """

    def __init__(self, probe: Callable[[float], Awaitable[bool]]) -> None:
        self._probe = probe
        self._probing: asyncio.Task[bool] | None = None

    @contextmanager
    def watch(self, give_up: Callable[[], object]) -> Iterator[None]:
        """Call `give_up` if the server does not answer while the context is open."""
        watching: asyncio.Task[None] | None = None

        def start() -> None:
            nonlocal watching
            watching = asyncio.ensure_future(self._watch(give_up))

        # A timer costs a call that is answered in time a microsecond, where a task would cost fifty.
        timer = asyncio.get_running_loop().call_later(SILENCE_SECONDS, start)
        try:
            yield
        finally:
            timer.cancel()
            if watching is not None:
                watching.cancel()

    async def _watch(self, give_up: Callable[[], object]) -> None:
        while True:
            if not await self._answers():
                give_up()
                return
            await asyncio.sleep(SILENCE_SECONDS)

    async def _answers(self) -> bool:
        """Probe the server once for all calls that ask at the same time."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.ensure_future(self._probe(PROBE_SECONDS))
        return await asyncio.shield(self._probing)
