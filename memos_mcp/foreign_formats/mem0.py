"""Memories of mem0: what its API and its open-source library return, and the archive that OpenMemory exports.

- `get_all`, `search` and `GET /memories`: a list of memories, or an object that has it under `results`. A memory has
  `id`, `memory`, `user_id`, `agent_id`, `app_id`, `run_id` (`session_id` in version 3 of the API), `role`, `actor_id`,
  `metadata`, `categories`, `created_at`, `updated_at`, `expiration_date` and `replaced_by`. The library's graph store
  adds `relations` with `source`, `relationship` and `target`.
- OpenMemory: a zip with `memories.json`, whose `memories` have `content`, `state` and `category_ids`, after the
  `categories` with their names.
Source: github.com/mem0ai/mem0, docs/openapi.json, mem0/memory/main.py, openmemory/api/app/routers/backup.py.
An export with a schema of one's own has no fixed form and cannot be read.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryKind, NewMemory
from memos_mcp.foreign_formats import graph_sentences
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import (
    first_moment,
    first_text,
    items,
    labels,
    mapping,
    moment,
    optional_mapping,
    session,
    text,
)
from memos_mcp.foreign_formats.json_elements import elements

FILES: Final = re.compile(r"\.json$")

_KEPT: Final = ("user_id", "agent_id", "app_id", "actor_id", "hash", "state", "updated_at", "entities", "relations")
"""Fields that are kept in the metadata under their own name after `mem0_`; the scope of a memory is never theirs."""


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the memories of a file."""
    categories: dict[str, str] = {}
    with file.open() as stream:
        for key, number, value in elements(stream, "results", "memories", "relations", "categories"):
            where, record = f"{file.name}: {key or 'memories'} {number}", mapping(value)
            if key == "relations":
                yield _relation(where, record)
            elif key != "categories":
                yield _memory(where, record, categories)
            elif (name := text(record.get("name"))) is not None:
                categories[str(record.get("id"))] = name


def _memory(where: str, record: Mapping[str, Any], categories: Mapping[str, str]) -> Entry:
    content = first_text(record, "memory", "content")
    if content is None:
        return NotImported(where, "memory is missing or is no text.", refused=True)
    if record.get("replaced_by") is not None:
        return NotImported(where, "replaced by newer memories")
    if record.get("state") == "deleted":
        return NotImported(where, "deleted")
    try:
        return ForeignMemory(where, _new(content, record, categories))
    except Invalid as error:
        return NotImported(where, str(error), refused=True)


def _new(content: str, record: Mapping[str, Any], categories: Mapping[str, str]) -> NewMemory:
    own, run_id = optional_mapping("metadata", record.get("metadata")), first_text(record, "run_id", "session_id")
    known = [categories[one] for one in items(record.get("category_ids")) if isinstance(one, str) and one in categories]
    kept = {f"mem0_{name}": record[name] for name in ("id", *_KEPT) if record.get(name) is not None}
    role = text(record.get("role"))
    procedural = "procedural_memory" in (own.get("memory_type"), record.get("memory_type"))
    kind: MemoryKind = "procedural" if procedural else "semantic"
    return NewMemory(
        content,
        kind,
        list(dict.fromkeys([*labels("categories", record.get("categories")), *known])),
        {**own, **({} if role is None else {"role": role}), **kept},
        session_id=None if run_id is None else session("mem0", run_id),
        occurred_at=first_moment(record, "created_at", "updated_at"),
        expires_at=_expiry(record.get("expiration_date")),
    )


def _expiry(value: object) -> datetime | None:
    """Return the end of the day of an expiry date: a memory is hidden after that date."""
    found = moment("expiration_date", value)
    is_date = isinstance(value, str) and len(value.strip()) == len("2026-05-01")
    try:
        return found + timedelta(days=1) if found is not None and is_date else found
    except OverflowError:  # the last day that there is
        return found


def _relation(where: str, record: Mapping[str, Any]) -> Entry:
    source, kind = text(record.get("source")), text(record.get("relationship"))
    target = first_text(record, "target", "destination")
    if source is None or kind is None or target is None:
        return NotImported(where, "source, relationship or target is missing or is no text.", refused=True)
    return ForeignMemory(where, graph_sentences.relation(source, kind, target))
