"""The command that writes a backup."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from tqdm import tqdm

from memos_mcp.app import assemble
from memos_mcp.archive.archive_reader import opened_archive
from memos_mcp.archive.archive_writer import read_loadouts, write_archive
from memos_mcp.archive.manifest import Manifest
from memos_mcp.archive.new_file import CheckedFile, new_file
from memos_mcp.domain.errors import Invalid
from memos_mcp.postgres.record_snapshot import take_snapshot
from memos_mcp.settings import Settings

STDOUT: Final = Path("-")


async def backup(settings: Settings, *, path: Path, vectors: bool) -> int:
    """Write a snapshot of the record and the loadout files to one file; servers keep running."""
    app = assemble(settings)
    try:
        version = await app.database.server_version()
        loadouts = read_loadouts(settings.loadouts)
        with _opened(path) as file:
            async with app.database.transaction() as connection:
                snapshot = await take_snapshot(connection, vectors=vectors)
                with tqdm(total=snapshot.outline.rows, unit="row", unit_scale=True, desc="written") as bar:
                    manifest = await write_archive(file, snapshot, loadouts, version, datetime.now(UTC), bar.update)
    finally:
        await app.close()
    print(_summary(manifest, path), file=sys.stderr)
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STDOUT:
        if sys.stdout.isatty():
            raise Invalid("A backup is no text for a terminal. Name a file, or redirect the output.")
        with io.BufferedWriter(CheckedFile(sys.stdout.fileno(), "stdout", closefd=False)) as file:
            yield file
        return
    _check_replaceable(path)
    with new_file(path) as file:
        yield file


def _check_replaceable(path: Path) -> None:
    """Raise `Invalid` for an existing file that is anything but an earlier backup."""
    if not os.path.lexists(path):
        return
    try:
        with opened_archive(path):
            pass
    except Invalid:
        raise Invalid(f"{path} exists and is no backup. Name another file; nothing was changed.") from None


def _summary(manifest: Manifest, path: Path) -> str:
    rows = {table.name: table.rows for table in manifest.tables}
    vectors = f"{rows['embeddings']:,} embeddings" if "embeddings" in rows else "no embeddings"
    return (
        f"{rows['agent_memories']:,} memories, {rows['registered_tools']:,} tools, {rows['ingested_files']:,} ingested "
        f"files, {vectors} and {len(manifest.loadouts):,} loadouts are in {'the backup' if path == STDOUT else path}."
    )
