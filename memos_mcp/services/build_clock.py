"""Measures how far a new generation is built, and estimates how long the rest takes."""

import anyio

from memos_mcp.domain.engines import BuildProgress


class BuildClock:
    """The progress of the build that runs, if one does."""

    def __init__(self) -> None:
        self.progress: BuildProgress | None = None
        self._began = 0.0

    def start(self, total: int) -> None:
        self._began = anyio.current_time()
        self.progress = BuildProgress(0, total, None)

    def advance(self, done: int) -> None:
        """Note that so many items are done."""
        if self.progress is not None and done:
            remaining = max(0, self.progress.total - done)
            seconds = (anyio.current_time() - self._began) * remaining / done
            self.progress = BuildProgress(done, max(done, self.progress.total), seconds)

    def stop(self) -> None:
        self.progress = None
