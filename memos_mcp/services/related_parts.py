"""Adds to parts of files the paths of the files that define what they use."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from memos_mcp.domain.memory import MemoryHit, MemoryStore
from memos_mcp.retrieval.related import part_of, related_paths


async def with_related(
    store: MemoryStore, namespace: str, hits: Sequence[MemoryHit], now: datetime
) -> Sequence[MemoryHit]:
    """Return the hits with `related`, resolved by what is live now; a file that moved is found where it is."""
    parts = {
        hit.memory.memory_id: part
        for hit in hits
        if hit.memory.kind == "document" and (part := part_of(hit.memory.metadata)) is not None
    }
    if not parts:
        return hits
    names = sorted({(part.source, name) for part in parts.values() for name in part.uses})
    found = await store.defined_in(namespace, names, now)
    related = {
        memory_id: related_paths(part, {name: found.get((part.source, name), ()) for name in part.uses})
        for memory_id, part in parts.items()
    }
    return [replace(hit, related=related.get(hit.memory.memory_id, ())) for hit in hits]
