"""Remembers the digests of files by what the file system says of them, so that unchanged files are not read again.

The memory is a file on this machine. It decides nothing: a digest from here is compared with the record like one that
was computed. Without the file, everything is read once more.
"""

import json
import logging
import os
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""Size, modification and change time in nanoseconds, and inode."""

RACY_NS: Final = 2_000_000_000
"""The coarsest clock of a common file system (FAT): a younger file may change again without another time."""


def stamp_of(status: os.stat_result) -> Stamp | None:
    """Return the stamp of a file, or None while the file may change again within the same tick of the clock.

    Git has the same rule: https://git-scm.com/docs/racy-git
    """
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < RACY_NS:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class FileStamps:
    """The stamps and digests of the files of one folder. `version` is that of the rules behind the digests."""

    def __init__(self, file: Path, version: str) -> None:
        self._file = file
        self._version = version
        self._digests = self._load()
        self._stored = dict(self._digests)

    @classmethod
    def of_folder(cls, home: Path, root: Path, version: str) -> "FileStamps":
        name = sha256(os.fsencode(root)).hexdigest()
        return cls(home / "ingest" / f"{name}.json", version)

    def digest(self, path: str, stamp: Stamp | None) -> bytes | None:
        """Return the digest that the file had with this stamp, or None when that is not known."""
        known = self._digests.get(path)
        return known[1] if known is not None and known[0] == stamp else None

    def record(self, path: str, stamp: Stamp | None, digest: bytes) -> None:
        if stamp is None:
            self._digests.pop(path, None)
        else:
            self._digests[path] = (stamp, digest)

    def retain(self, paths: set[str]) -> None:
        """Forget all other files."""
        self._digests = {path: known for path, known in self._digests.items() if path in paths}

    def save(self) -> None:
        """Write the file if something changed. A failure costs only time, so it is logged."""
        if self._digests == self._stored:
            return
        files = {path: [*stamp, digest.hex()] for path, (stamp, digest) in self._digests.items()}
        temporary = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"version": self._version, "files": files}), encoding="ascii")
            temporary.replace(self._file)
        except OSError as error:
            logger.warning("The stamps of the read files were not saved: %s", error.strerror)
            with suppress(OSError):
                temporary.unlink()
        else:
            self._stored = dict(self._digests)

    def _load(self) -> dict[str, tuple[Stamp, bytes]]:
        try:
            content: Any = json.loads(self._file.read_bytes())
            if content["version"] != self._version:
                return {}
            return {
                path: ((int(size), int(mtime), int(ctime), int(inode)), bytes.fromhex(digest))
                for path, (size, mtime, ctime, inode, digest) in content["files"].items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
