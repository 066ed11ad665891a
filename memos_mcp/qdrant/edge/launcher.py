"""Starts the processes of the embedded index: locks its folder, and loads or creates generations in it."""

import logging
import os
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Shape
from memos_mcp.qdrant.edge import generations as disk
from memos_mcp.qdrant.edge.generations import Generation
from memos_mcp.qdrant.edge.worker_handle import FAILED, RunningGeneration, WorkerExited, WorkerHandle
from memos_mcp.qdrant.points import CLOSED

logger = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
"""Time to load or create a generation; loading some hundred thousand points takes some seconds."""

DISK_FULL: Final = "The disk of the search index is full. Free space on the machine of the server."


class Launcher:
    """The folder of an embedded index, and how its processes are started."""

    def __init__(self, folder: Path, hnsw_threshold: int) -> None:
        self._folder = folder
        self._hnsw_threshold = hnsw_threshold
        self._lock: int | None = None

    async def lock(self) -> None:
        """Hold the folder. Raises `IndexUnavailable` while another process does."""
        if self._lock is None:
            self._lock = await run_sync(disk.lock, self._folder)

    def release(self) -> None:
        """Release the folder, unless a process that was started still holds it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def reason(self, otherwise: str) -> str:
        """Return why the folder cannot be used: a full disk, or what the caller knows."""
        return DISK_FULL if disk.lacks_space(self._folder) else otherwise

    async def load(self, generation: Generation, *, background: bool = False) -> RunningGeneration | None:
        """Return the generation, or None if it cannot be read and was set aside."""
        worker = await self._start(generation, background=background)
        try:
            await worker.request("load", seconds=START_SECONDS)
        except (WorkerExited, IndexUnavailable):
            logger.exception("The search index cannot be read; it is kept aside and built again from the record")
            await worker.kill()
            await run_sync(disk.set_aside, generation)
            return None
        except BaseException as error:
            await worker.kill()
            if isinstance(error, TimeoutError):
                raise IndexUnavailable(FAILED) from error
            raise
        return RunningGeneration(generation, worker)

    async def create(self, shape: Shape, *, background: bool = False) -> RunningGeneration:
        """Create an empty generation."""
        generation = await run_sync(disk.new_generation, self._folder, shape)
        running = RunningGeneration(generation, await self._start(generation, background=background))
        try:
            await running.worker.request("create", seconds=START_SECONDS)
        except BaseException as error:
            await running.discard()
            if isinstance(error, (WorkerExited, TimeoutError)):
                raise IndexUnavailable(self.reason(FAILED)) from error
            raise
        return running

    async def copy(self, generation: Generation) -> Generation:
        """Copy the files of a generation; nothing may be written to it meanwhile."""
        try:
            return await run_sync(disk.copied, generation)
        except OSError as error:
            logger.exception("The search index cannot be copied")
            raise IndexUnavailable(self.reason("The search index cannot be copied.")) from error

    async def _start(self, generation: Generation, *, background: bool = False) -> WorkerHandle:
        if self._lock is None:
            raise IndexUnavailable(CLOSED)
        dimensions = generation.shape.dimensions
        return await WorkerHandle.start(
            generation.path, dimensions, self._hnsw_threshold, self._lock, background=background
        )
