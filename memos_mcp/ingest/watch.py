"""Waits for changes in a folder."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
from watchfiles import Change, awatch

from memos_mcp.ingest.file_names import is_foreign

_STEP_MS: Final = 400
"""The pause after the last change before a burst is reported: an editor or git makes many changes at once."""

_DEBOUNCE_MS: Final = 3_000

_POLL_MS: Final = 1_000
"""How long the watching thread may take to stop: the interval at which it checks for that while nothing changes."""


async def changes(root: Path) -> AsyncIterator[frozenset[str]]:
    """Yield the paths that were added, changed or removed, relative to the root, one set for each burst of changes.

    Folders that are never read are not reported; paths that git ignores may be. Iteration ends when the root no longer
    exists.
    """
    top = Path(await anyio.Path(root).resolve())

    def is_watched(_: Change, path: str) -> bool:
        parts = Path(path).relative_to(top).parts
        return not any(is_foreign(part, frozenset()) for part in parts)

    bursts = awatch(
        top,
        watch_filter=is_watched,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        rust_timeout=_POLL_MS,
        ignore_permission_denied=True,
    )
    async for burst in bursts:
        if not await anyio.Path(top).is_dir():
            return
        yield frozenset(Path(path).relative_to(top).as_posix() for _, path in burst)
