"""Exports of mcp-memory-service.

- The JSON of `scripts/sync/export_memories.py`: an object with `export_metadata` and `memories`, each with `content`,
  `content_hash`, `tags`, `memory_type`, `created_at`, `updated_at` (Unix times) and `metadata`. The answers of its HTTP
  API have the same fields.
- A list of `Memory.to_dict()`, as its migration guide writes it: with `tags_str`, `type`, and the metadata unnested.
- The older backups of ChromaDB: `memories` with `id`, `document` and `metadata`, which has the tags, type and times.
It documents no other format for export; its CSV files are documents to ingest.
Source: github.com/doobidoo/mcp-memory-service, src/mcp_memory_service/sync/exporter.py, models/memory.py,
examples/memory_export_template.json, docs/guides/chromadb-migration.md, scripts/backup/backup_memories.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryKind, NewMemory
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import first_moment, first_text, labels, mapping, optional_mapping
from memos_mcp.foreign_formats.json_elements import elements

FILES: Final = re.compile(r"\.json$")

_KINDS: Final[Mapping[str, MemoryKind]] = {kind: kind for kind in get_args(MemoryKind)}
_TIMES: Final = ("created_at", "created_at_iso", "timestamp_float", "timestamp", "timestamp_str")
_READ: Final = frozenset(
    {"content", "document", "id", "tags", "tags_str", "memory_type", "type", "metadata", "embedding", "content_hash"}
    | {"updated_at", "updated_at_iso", "export_source", *_TIMES}
)
"""Fields with a meaning of their own; the others are metadata."""


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the memories of a file."""
    with file.open() as stream:
        for _, number, value in elements(stream, "memories"):
            yield _memory(f"{file.name}: memory {number}", mapping(value))


def _memory(where: str, record: Mapping[str, Any]) -> Entry:
    content = first_text(record, "content", "document")
    if content is None:
        return NotImported(where, "content is missing or is no text.", refused=True)
    try:
        return ForeignMemory(where, _new(content, record))
    except Invalid as error:
        return NotImported(where, str(error), refused=True)


def _new(content: str, record: Mapping[str, Any]) -> NewMemory:
    own = optional_mapping("metadata", record.get("metadata"))
    every = {**own, **record}
    memory_type = first_text(every, "memory_type", "type")
    known = {
        "memory_type": memory_type,
        "mcp_memory_service_hash": first_text(every, "content_hash", "id"),
        "updated_at": every.get("updated_at_iso") or every.get("updated_at"),
    }
    metadata = {name: value for name, value in every.items() if name not in _READ}
    metadata |= {name: value for name, value in known.items() if value is not None}
    return NewMemory(
        content,
        _KINDS.get(memory_type or "", "semantic"),
        labels("tags", every.get("tags") or every.get("tags_str")),
        metadata,
        occurred_at=first_moment(every, *_TIMES),
    )
