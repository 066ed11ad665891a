"""Waits for changes in a folder."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
from watchfiles import Change, awatch

from memos_mcp.ingest import file_names as names

_QUIET_MS: Final = 400
"""How long nothing may change before what changed is told: an editor's or git's many steps are one."""

_AT_MOST_MS: Final = 3_000

_HEARD_MS: Final = 1_000
"""How long the thread that watches may take to hear that it shall end; it looks up so often while nothing changes."""


async def changes(root: Path) -> AsyncIterator[frozenset[str]]:
    """Yield the paths that were added, changed or removed, relative to the root, a burst of changes at a time.

    Folders that are never read are not spoken of; what git ignores may be. It ends when the root is gone.
    """
    top = Path(await anyio.Path(root).resolve())

    def is_ours(_: Change, path: str) -> bool:
        parts = Path(path).relative_to(top).parts
        return not any(names.is_foreign(part, frozenset()) for part in parts)

    bursts = awatch(
        top,
        watch_filter=is_ours,
        debounce=_AT_MOST_MS,
        step=_QUIET_MS,
        rust_timeout=_HEARD_MS,
        ignore_permission_denied=True,
    )
    async for burst in bursts:
        if not await anyio.Path(top).is_dir():
            return
        yield frozenset(Path(path).relative_to(top).as_posix() for _, path in burst)
