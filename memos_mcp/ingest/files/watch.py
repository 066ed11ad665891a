"""Waits for changes in a folder, and for commits and checkouts."""

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Final

import anyio
from watchfiles import Change, awatch

_STEP_MS: Final = 400
"""The pause after the last change before a burst is reported: an editor or git makes many changes at once."""

_DEBOUNCE_MS: Final = 3_000

_VERSION_CONTROL: Final = frozenset({".git", ".hg", ".svn", ".bzr", ".jj"})

_DECIDING: Final = frozenset({".git", ".gitignore", ".gitmodules", ".memosignore"})

_GIT_FILES: Final = (("index",), ("HEAD",), ("info", "exclude"))
"""The files in `.git` that decide what is ingested."""

_POLL_MS: Final = 1_000
"""How long the watching thread may take to stop: the interval at which it checks for that while nothing changes."""


async def changes(root: Path) -> AsyncIterator[frozenset[str]]:
    """Yield the paths that were added, changed or removed, relative to the root, one set for each burst of changes.

    Paths that are never ingested are reported too, except what git itself writes. Iteration ends when the root no
    longer exists.
    """
    top = Path(await anyio.Path(root).resolve())

    def is_watched(_: Change, path: str) -> bool:
        return _is_watched(Path(path).relative_to(top).parts)

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


async def git_changes(git_folder: Path) -> AsyncIterator[None]:
    """Yield after each burst of changes directly in the folder of a repository, where every commit writes something."""
    async for _ in awatch(git_folder, watch_filter=None, recursive=False, step=_STEP_MS, rust_timeout=_POLL_MS):
        yield


def change_rules(paths: Iterable[str]) -> bool:
    """Whether one of these changes may decide about files that did not change themselves."""
    return any(path == "." or not _DECIDING.isdisjoint(Path(path).parts) for path in paths)


def _is_watched(parts: Sequence[str]) -> bool:
    for position, part in enumerate(parts):
        if part in _VERSION_CONTROL:
            return part == ".git" and tuple(parts[position + 1 :]) in _GIT_FILES
    return True
