"""The files of an export: a single file, those of a folder, or those of a zip archive, which is not unpacked."""

import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Final

from memos_mcp.domain.errors import Invalid

UNREADABLE: Final = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for an archive that is damaged, encrypted or compressed in a way that it does not know."""

_HIDDEN: Final = re.compile(r"(^|/)(\.|__MACOSX/)")
"""Hidden files, such as those of git or of the trash of an editor, and what macOS adds to archives."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file of an export: its path within, its size in bytes and when it was modified, if that is known."""

    name: str
    size: int
    modified: datetime | None
    _open: Callable[[], IO[bytes]]
    _count: Callable[[int], None]

    @contextmanager
    def open(self) -> "Iterator[io.BufferedReader[_Counted]]":
        """Open it for reading; opening and reading raise `Invalid` where it cannot be read."""
        with _readable(self.name):
            stream = self._open()
        with stream, io.BufferedReader(_Counted(self.name, stream, self._count)) as counted:
            yield counted

    def read(self, max_bytes: int) -> bytes:
        """Return its bytes; raise `Invalid` when there are more than `max_bytes`."""
        with self.open() as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise Invalid(f"This has more than {max_bytes // 2**20} MiB. Split it.")
        return data


class Export:
    """The files below a path whose name matches a pattern; a single file is always one of them. Close it after use.

    `others`: the names of the files that do not match. `bytes_read`: how much of the files has been read.
    """

    def __init__(self, path: Path, pattern: re.Pattern[str]) -> None:
        self.bytes_read = 0
        self._archive: zipfile.ZipFile | None = None
        with _readable(str(path)):
            found = list(self._found(path))
        single = len(found) == 1 and path.is_file() and self._archive is None
        self.files = [file for file in found if single or pattern.search(file.name)]
        self.others = [file.name for file in found if not single and not pattern.search(file.name)]
        self.size = sum(file.size for file in self.files)

    def close(self) -> None:
        """Close the archive, if it is one."""
        if self._archive is not None:
            self._archive.close()

    def _found(self, path: Path) -> Iterator[ExportFile]:
        if path.is_dir():
            for file in _below(path):
                yield self._file(file, file.relative_to(path).as_posix())
        elif zipfile.is_zipfile(path):
            self._archive = zipfile.ZipFile(path)
            for member in sorted(self._archive.infolist(), key=lambda member: member.filename):
                if not member.is_dir() and not _HIDDEN.search(member.filename):
                    opened = partial(self._archive.open, member)
                    yield ExportFile(member.filename, member.file_size, None, opened, self._count)
        else:
            yield self._file(path, path.name)

    def _file(self, path: Path, name: str) -> ExportFile:
        def opened() -> IO[bytes]:
            return path.open("rb")

        state = path.stat()
        return ExportFile(name, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC), opened, self._count)

    def _count(self, size: int) -> None:
        self.bytes_read += size


class _Counted(io.RawIOBase):
    """Counts the bytes that are read of a stream."""

    def __init__(self, name: str, stream: IO[bytes], count: Callable[[int], None]) -> None:
        super().__init__()
        self._name = name
        self._stream = stream
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # the stub has a wider type
        with _readable(self._name):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise Invalid(f"{name} cannot be read: {reason}.") from error


def _below(root: Path) -> Iterator[Path]:
    """Yield the files of a folder in order, without hidden ones."""
    for folder, folders, files in os.walk(root, onerror=_fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                yield path


def _fail(error: OSError) -> None:
    """Raise the error of a folder that cannot be read, which `os.walk` would pass over."""
    raise error
