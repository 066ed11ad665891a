"""The command that exports the record as JSON Lines."""

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import anyio
from tqdm import tqdm

from memos_mcp.app import App, assemble
from memos_mcp.archive.export_file import first_line, is_export, last_line
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals
from memos_mcp.cli.output_file import STDOUT, opened_output
from memos_mcp.domain.errors import Invalid
from memos_mcp.postgres.record_line_types import LINE_TYPES, VECTOR
from memos_mcp.postgres.record_lines import RecordLines
from memos_mcp.settings import Settings


async def export(settings: Settings, *, path: Path, all_namespaces: bool, vectors: bool) -> int:
    """Write a snapshot of one namespace, or of all; servers keep running."""
    app = assemble(settings)
    try:
        with anyio.CancelScope() as stop, cancelled_by_signals(stop):
            print(await _export(app, path, all_namespaces=all_namespaces, vectors=vectors), file=sys.stderr)
            return 0
    finally:
        await app.close()
    print("Stopped. The export is incomplete, or was not written.", file=sys.stderr)
    return INTERRUPTED


async def _export(app: App, path: Path, *, all_namespaces: bool, vectors: bool) -> str:
    own = app.settings.namespace
    await app.database.server_version()
    with opened_output(path, _is_export) as file:
        async with app.database.everything.transaction() as connection:
            lines = RecordLines(connection)
            present = await lines.begin()
            chosen = present if all_namespaces else [own]
            others = sorted(set(present) - set(chosen))
            if vectors and others:
                raise Invalid("Vectors belong to texts, not to namespaces. Add --all-namespaces, or omit --vectors.")
            namespace = own if others else None
            counts = await _write(file, lines, namespace, chosen, vectors=vectors, quiet=_shows_lines(path))
    return _summary(counts, others, path)


async def _write(
    file: BinaryIO, lines: RecordLines, namespace: str | None, chosen: list[str], *, vectors: bool, quiet: bool
) -> Counter[str]:
    """Write all lines; return how many of each type. namespace: the one to export, all if it is None."""
    types = [line_type for line_type in LINE_TYPES.values() if vectors or line_type != VECTOR]
    total = sum([await lines.count(line_type, namespace) for line_type in types])
    counts = Counter[str]()
    file.write(f"{first_line(chosen, datetime.now(UTC))}\n".encode())
    with tqdm(total=total, unit="line", unit_scale=True, desc="exported", disable=quiet) as bar:
        for line_type in types:
            async for part in lines.read(line_type, namespace):
                file.write("".join(f"{line}\n" for line in part).encode())
                counts[line_type.name] += len(part)
                bar.update(len(part))
    file.write(f"{last_line(counts.total())}\n".encode())
    return counts


def _shows_lines(path: Path) -> bool:
    """Whether the lines themselves are shown, between which a progress bar would be noise."""
    return path == STDOUT and sys.stdout.isatty()


def _is_export(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_export(file.peek())
    except OSError:
        return False


def _summary(counts: Counter[str], others: list[str], path: Path) -> str:
    found = ", ".join(f"{count:,} {name} lines" for name, count in counts.items()) or "no lines"
    missing = f" Namespaces that are not in it: {len(others):,}; --all-namespaces exports all." if others else ""
    return f"{found} are in {'the export' if path == STDOUT else path}.{missing}"
