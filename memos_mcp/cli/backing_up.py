"""The command that writes a backup."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
from tqdm import tqdm

from memos_mcp.app import App, assemble
from memos_mcp.archive.archive_reader import opened_archive
from memos_mcp.archive.archive_writer import read_loadouts, write_archive
from memos_mcp.archive.manifest import Manifest
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals
from memos_mcp.cli.output_file import STDOUT, opened_output
from memos_mcp.domain.errors import Invalid
from memos_mcp.postgres.record_snapshot import take_snapshot
from memos_mcp.settings import Settings


async def backup(settings: Settings, *, path: Path, vectors: bool) -> int:
    """Write a snapshot of the record and the loadout files to one file; servers keep running."""
    if path == STDOUT and sys.stdout.isatty():
        raise Invalid("A backup is no text for a terminal. Name a file, or redirect the output.")
    app = assemble(settings)
    try:
        with anyio.CancelScope() as stop, cancelled_by_signals(stop):
            manifest = await _write(app, path, vectors=vectors)
            print(_summary(manifest, path), file=sys.stderr)
            return 0
    finally:
        await app.close()
    print("Stopped. No backup was written.", file=sys.stderr)
    return INTERRUPTED


async def _write(app: App, path: Path, *, vectors: bool) -> Manifest:
    version = await app.database.server_version()
    loadouts = read_loadouts(app.settings.loadouts)
    with opened_output(path, _is_backup) as file:
        async with app.database.everything.transaction() as connection:
            snapshot = await take_snapshot(connection, vectors=vectors)
            with tqdm(total=snapshot.outline.rows, unit="row", unit_scale=True, desc="written") as bar:
                return await write_archive(file, snapshot, loadouts, version, datetime.now(UTC), bar.update)


def _is_backup(path: Path) -> bool:
    try:
        with opened_archive(path):
            return True
    except Invalid:
        return False


def _summary(manifest: Manifest, path: Path) -> str:
    rows = {table.name: table.rows for table in manifest.tables}
    vectors = f"{rows['embeddings']:,} embeddings" if "embeddings" in rows else "no embeddings"
    return (
        f"{rows['agent_memories']:,} memories, {rows['registered_tools']:,} tools, {rows['ingested_files']:,} ingested "
        f"files, {vectors} and {len(manifest.loadouts):,} loadouts are in {'the backup' if path == STDOUT else path}."
    )
