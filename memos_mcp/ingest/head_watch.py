"""Waits for commits and checkouts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from watchfiles import awatch

_STEP_MS: Final = 400
_POLL_MS: Final = 1_000


async def git_changes(git_folder: Path) -> AsyncIterator[None]:
    """Yield after each burst of changes directly in the folder of a repository, where every commit writes something."""
    async for _ in awatch(git_folder, watch_filter=None, recursive=False, step=_STEP_MS, rust_timeout=_POLL_MS):
        yield
