"""Writes a backup: table by table, the manifest last, so that a file without one is incomplete."""

from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZipFile

from memos_mcp import __version__
from memos_mcp.archive.manifest import LOADOUTS, MANIFEST, ArchivedTable, Manifest
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.record import RecordSource, RecordTable

LEVEL: Final = 1
"""Higher ones make vectors, most of a record, hardly smaller, and take several times as long."""


class _Member:
    """Counts and digests what is written to a file of the archive."""

    def __init__(self, write: Callable[[bytes], object], progress: Callable[[int], object]) -> None:
        self._write = write
        self._progress = progress
        self._digest = sha256()
        self.rows = 0

    async def write(self, chunk: bytes) -> None:
        rows = chunk.count(b"\n")  # a line break inside a value is escaped
        self._write(chunk)
        self._digest.update(chunk)
        self.rows += rows
        self._progress(rows)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


async def write_archive(
    file: BinaryIO,
    source: RecordSource,
    loadouts: Mapping[str, bytes],
    postgres_version: str,
    now: datetime,
    progress: Callable[[int], object],
) -> Manifest:
    """Write a whole backup to a file or a pipe; return its manifest. progress: receives numbers of rows."""
    with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        tables = [await _write_table(archive, source, table, progress) for table in source.outline.tables]
        for name, content in loadouts.items():
            archive.writestr(LOADOUTS + name, content)
        manifest = Manifest(
            memos_version=__version__,
            postgres_version=postgres_version,
            created_at=now,
            migrations=dict(source.outline.migrations),
            sequences=dict(source.outline.sequences),
            tables=tuple(tables),
            loadouts={name: sha256(content).hexdigest() for name, content in loadouts.items()},
        )
        archive.writestr(MANIFEST, manifest.sealed())
    return manifest


async def _write_table(
    archive: ZipFile, source: RecordSource, table: RecordTable, progress: Callable[[int], object]
) -> ArchivedTable:
    planned = ArchivedTable(name=table.name, columns=table.columns, rows=0, sha256="")
    with archive.open(planned.member, "w", force_zip64=True) as file:
        member = _Member(file.write, progress)
        await source.copy_rows(table, member.write)
    return planned.model_copy(update={"rows": member.rows, "sha256": member.sha256})


def read_loadouts(folder: Path) -> dict[str, bytes]:
    """Return the content of the loadout files, by their names; raise `Invalid` when one cannot be read."""
    try:
        return {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml")) if path.is_file()}
    except OSError as error:
        raise Invalid(f"{error.filename} cannot be read: {error.strerror}. Nothing was written.") from error
