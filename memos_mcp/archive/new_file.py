"""Writes a file that appears under its name only when it is complete and on the disk."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any, BinaryIO, Final

from memos_mcp.domain.errors import Invalid, MemosError, Unavailable

PARTIAL: Final = ".partial"


class PipeClosed(MemosError):
    """The program that reads what is written has ended."""


class CheckedFile(io.FileIO):
    """A file whose errors are explained where they occur: on their way through Postgres' they would count as its."""

    def __init__(self, handle: int, path: Path | str, *, closefd: bool = True) -> None:
        super().__init__(handle, "wb", closefd=closefd)
        self._path = path

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise PipeClosed from None
        except OSError as error:
            raise _explained(self._path, error) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the name `path` when the context ends without an exception.

    Until then it has another name in the same folder. Only its owner can read it; it replaces a file that has the name.
    Raises `Invalid` for a path that cannot be written, `Unavailable` for a disk that is full.
    """
    try:
        handle, name = mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
    except OSError as error:
        raise _explained(path, error) from error
    partial = Path(name)
    try:
        with io.BufferedWriter(CheckedFile(handle, path)) as file:
            yield file
            file.flush()
            os.fsync(handle)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _explained(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Write the names of a folder's files to the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _explained(path: Path | str, error: OSError) -> Invalid | Unavailable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Unavailable(f"{path} was not written: its disk is full. Free space, or name a file on another disk.")
    return Invalid(f"{path} cannot be written: {error.strerror}.")
