"""JSON files of the operator that only their owner may read: written whole or not at all, by one process at a time."""

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Final

PRIVATE: Final = 0o600
MAX_BYTES: Final = 1024 * 1024


class FileUnusable(Exception):
    """A file of the operator cannot be read or written. The message says what to do, and holds nothing of the file."""


class PrivateFile:
    """A JSON object in a file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Return the object, empty if there is no file; raise `FileUnusable` when it is broken or open to others."""
        try:
            with self.path.open("rb") as file:
                self._check_owner(os.fstat(file.fileno()))
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise FileUnusable(f"{self.path} cannot be read: {error.strerror}.") from None
        if len(text) > MAX_BYTES:
            raise FileUnusable(f"{self.path} is larger than {MAX_BYTES:,} bytes. Correct it by hand, or remove it.")
        return self._parsed(text)

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """Yield the object to change it; it is written when the context ends without an exception.

        A second writer waits, also in another process, so that neither overwrites what the other has added.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self.path.with_name(f".{self.path.name}.lock")):
                content = self.read()
                yield content
                self._write(json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n")
        except OSError as error:
            raise FileUnusable(f"{self.path} cannot be written: {error.strerror}.") from None

    def _check_owner(self, found: os.stat_result) -> None:
        if sys.platform == "win32":
            return
        if found.st_uid != os.geteuid():
            raise FileUnusable(f"{self.path} belongs to another user. Make it your own: chown $USER '{self.path}'")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(found.st_mode)
            raise FileUnusable(f"{self.path} is open to other users (mode {mode:04o}). Run: chmod 600 '{self.path}'")

    def _parsed(self, text: bytes) -> dict[str, Any]:
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            problem = f"it is not JSON at line {error.lineno}, column {error.colno}"
        except (ValueError, RecursionError):
            problem = "it is not JSON"
        else:
            if isinstance(content, Mapping):
                return dict(content)
            problem = "it is no JSON object"
        raise FileUnusable(f"{self.path} cannot be used: {problem}. Correct it by hand, or remove it.")

    def _write(self, text: bytes) -> None:
        handle, name = mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)  # of mode 0600
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
