"""Reads a backup: the whole file is checked before anything of it is used."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile

from memos_mcp.archive.manifest import DAMAGED, LOADOUTS, MANIFEST, NO_BACKUP, ArchivedTable, Manifest, read_manifest
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.record import RecordOutline, RecordTable, Write

CHUNK_BYTES: Final = 256 * 1024
_BROKEN: Final = (BadZipFile, zlib.error, struct.error, EOFError, KeyError, OSError, RuntimeError, ValueError)
"""What reading a damaged archive raises."""


class Archive:
    """The `RecordSource` port on a backup."""

    def __init__(self, file: ZipFile, manifest: Manifest) -> None:
        self._file = file
        self.manifest = manifest

    @property
    def outline(self) -> RecordOutline:
        return self.manifest.outline

    def verify(self, progress: Callable[[int], object]) -> None:
        """Read everything; raise `Invalid` when anything is missing or was changed. progress: receives row numbers."""
        for table in self.manifest.tables:
            digest, rows = sha256(), 0
            for chunk in self._chunks(table.member):
                digest.update(chunk)
                rows += (found := chunk.count(b"\n"))
                progress(found)
            if (rows, digest.hexdigest()) != (table.rows, table.sha256):
                raise Invalid(DAMAGED.format(problem=f"the rows of {table.name} differ from the manifest"))
        for name in self.manifest.loadouts:
            self.loadout(name)

    def loadout(self, name: str) -> bytes:
        """Return the content of a loadout file."""
        content = b"".join(self._chunks(LOADOUTS + name))
        if sha256(content).hexdigest() != self.manifest.loadouts[name]:
            raise Invalid(DAMAGED.format(problem=f"{name} differs from the manifest"))
        return content

    async def copy_rows(self, table: RecordTable, write: Write) -> None:
        archived = next(one for one in self.manifest.tables if one.name == table.name)
        await _write_all(self._chunks(archived.member), archived, write)

    def _chunks(self, member: str) -> Iterator[bytes]:
        try:
            with self._file.open(member) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except _BROKEN as error:
            raise Invalid(DAMAGED.format(problem=f"{member} cannot be read")) from error


async def _write_all(chunks: Iterator[bytes], table: ArchivedTable, write: Write) -> None:
    """Write the rows; raise `Invalid` when the file was changed since it was checked."""
    digest = sha256()
    for chunk in chunks:
        digest.update(chunk)
        await write(chunk)
    if digest.hexdigest() != table.sha256:
        raise Invalid(DAMAGED.format(problem=f"{table.name} was changed while it was read"))


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Yield a backup; raise `Invalid` when the file cannot be read or is none."""
    try:
        opened = path.open("rb")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    with opened:
        try:
            file = ZipFile(opened)
            manifest = file.read(MANIFEST)
        except _BROKEN as error:
            raise Invalid(NO_BACKUP.format(path=path)) from error
        with file:
            yield Archive(file, read_manifest(manifest))
