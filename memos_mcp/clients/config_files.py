"""Reads a configuration file, and replaces it in one step with a backup beside it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from memos_mcp.archive.new_file import new_file
from memos_mcp.domain.errors import Conflict, Invalid

BACKUP_SUFFIX: Final = ".memos-as.bak"
_PRIVATE: Final = 0o600
_SHARED: Final = 0o644


def backup_of(path: Path) -> Path:
    """Return the path of the backup of a file, which has the file's text before the entry was added."""
    return path.with_name(path.name + BACKUP_SUFFIX)


def read_text(path: Path) -> str | None:
    """Return the text of a file with its line ends, or None if there is none; raise `Invalid` if it cannot be read."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 at byte {error.start}. Correct that first; nothing was changed.") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}. Nothing was changed.") from None


def replace_text(path: Path, before: str | None, after: str | None, *, shared: bool) -> None:
    """Replace the text of a file, or make or delete the file; a link stays one, and its target gets the text.

    A file keeps its mode and owner; a new one can be read by others if it is `shared`. Raises `Conflict` when the file
    has another text than `before`, `Invalid` when it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if read_text(target) != before:
        raise Conflict(f"{path} was changed in the meantime. Run this again; nothing was changed.")
    try:
        if after is None:
            target.unlink()
            return
        target.parent.mkdir(mode=0o755 if shared else 0o700, parents=True, exist_ok=True)
        like = target.stat() if before is not None else None
    except OSError as error:
        raise Invalid(f"{path} cannot be written: {error.strerror}.") from None
    with new_file(target) as file:
        _take_over(file.fileno(), like, _SHARED if shared else _PRIVATE)
        file.write(after.encode())


def _take_over(handle: int, like: os.stat_result | None, default_mode: int) -> None:
    if not hasattr(os, "fchmod"):  # Windows: a file inherits the rights of its folder
        return
    if like is not None and hasattr(os, "fchown"):
        with suppress(OSError):  # only root gives files away
            os.fchown(handle, like.st_uid, like.st_gid)
    os.fchmod(handle, default_mode if like is None else like.st_mode & 0o7777)
