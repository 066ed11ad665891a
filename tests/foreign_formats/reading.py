"""Reads exports for the tests: what would be imported, without a home."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memos_mcp.domain.memory import NewMemory
from memos_mcp.foreign_formats.entries import ForeignMemory, NotImported
from memos_mcp.foreign_formats.foreign_export import ForeignExport

EXPORTS = Path(__file__).parent / "exports"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def read(system: str, path: Path) -> tuple[Sequence[NewMemory], Sequence[NotImported]]:
    """Return the memories of an export, and what is not imported; every file of it must be read to its end."""
    with closing(ForeignExport(path, system, NOW)) as export:
        entries = list(export.entries())
        if not any(isinstance(entry, NotImported) and entry.refused for entry in entries):
            assert export.bytes_read == export.size
    memories = [entry.new for entry in entries if isinstance(entry, ForeignMemory)]
    return memories, [entry for entry in entries if isinstance(entry, NotImported)]


def contents(memories: Sequence[NewMemory]) -> list[str]:
    return [new.content for new in memories]


def values(memories: Sequence[NewMemory], name: str) -> list[Any]:
    """Return a value of the metadata of each memory."""
    return [new.metadata.get(name) for new in memories]


def refusals(skipped: Sequence[NotImported]) -> list[tuple[str, str]]:
    return [(entry.where, entry.reason) for entry in skipped if entry.refused]
