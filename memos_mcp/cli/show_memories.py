"""The commands that search, list and show memories.

A search asks the engine, which has the index and the model, as a client does. The others read the record, which starts
no engine and has no limit of size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from memos_mcp.cli.engine_session import EngineSession, engine_session
from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryHit, MemoryQuery
from memos_mcp.mcp_server.memory_results import rfc3339, stored_fields
from memos_mcp.settings import Settings

MAX_TOKENS: Final = 10_000
"""The greatest size of an answer; the cursor asks for what does not fit."""

NOTHING_FOUND: Final = "No memory matches."
NOT_CONFIDENT: Final = "Nothing is near the question; these come nearest."


async def search(_settings: Settings, *, query: MemoryQuery, as_json: bool) -> int:
    """Print the memories that answer a question; return 0, also when there are none."""
    async with engine_session() as engine:
        from memos_mcp.cli.memory_table import print_memories  # while the bridge starts

        answer = await _ask(engine, _arguments(query), query.limit)
    if as_json:
        print_json(answer)
        return 0
    print_memories(answer["memories"], query.text)
    if answer["degraded"]:
        notice(answer["degraded"])
    if not answer["memories"]:
        notice(NOTHING_FOUND)
    elif answer["confident"] is False:
        notice(NOT_CONFIDENT)
    return 0


async def list_memories(settings: Settings, *, query: MemoryQuery, as_json: bool) -> int:
    """Print the newest memories; return 0, also when there are none."""
    from memos_mcp.cli.opened_record import opened_record

    async with opened_record(settings) as (app, scope):
        page = await app.memories.query(scope, query)
    rows = list(map(row_of, page.hits))
    if as_json:
        print_json({"memories": rows, "total": page.total, "has_more": page.more})
        return 0
    from memos_mcp.cli.memory_table import print_memories

    print_memories(rows)
    if not rows:
        notice(NOTHING_FOUND)
    elif page.more:
        notice(f"Shown are {len(rows):,} of {page.total:,}; a greater --limit shows more.")
    return 0


async def show(settings: Settings, *, ids: Sequence[str], as_json: bool) -> int:
    """Print these memories in full, also superseded ones; return 1 when one of them cannot be shown."""
    from memos_mcp.cli.opened_record import opened_record

    async with opened_record(settings) as (app, scope):
        asked = [await app.memory_changes.resolve(scope, text) for text in ids]
        page = await app.memories.read(scope, asked, MemoryQuery(include_superseded=True))
    rows = list(map(row_of, page.hits))
    if as_json:
        print_json({"memories": rows, "missing": list(map(str, page.missing))})
    else:
        from memos_mcp.cli.memory_table import print_in_full

        print_in_full(rows)
    for missing in page.missing:
        notice(f"{missing} is forgotten, expired or not in namespace {scope.namespace}.")
    return 1 if page.missing else 0


def row_of(hit: MemoryHit) -> dict[str, Any]:
    """Return a memory with the names and forms that `query_memory` gives its fields, whole and with some more."""
    earlier = {"earlier": list(map(_fields, hit.earlier))} if hit.earlier else {}
    return {**_fields(hit.memory), **earlier}


def _fields(memory: Memory) -> dict[str, Any]:
    times = {name: getattr(memory, name) for name in ("occurred_at", "created_at", "expires_at", "superseded_at")}
    return {
        **stored_fields(memory),
        **{name: None if moment is None else rfc3339(moment) for name, moment in times.items()},
        "superseded_by": None if memory.superseded_by is None else str(memory.superseded_by),
        "version": memory.version,
    }


def _arguments(query: MemoryQuery) -> dict[str, Any]:
    """Return a question as the arguments of `query_memory`."""
    given = {
        "query": query.text,
        "min_score": query.min_score,
        "as_of": None if query.as_of is None else query.as_of.isoformat(),
        "include_superseded": query.include_superseded or None,
        "half_life_days": query.half_life_days,
        "max_tokens": MAX_TOKENS,
    }
    return {**conditions(query.filter), **{name: value for name, value in given.items() if value is not None}}


def conditions(filter: MemoryFilter) -> dict[str, Any]:
    """Return a filter as arguments of a tool."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(filter).items()
        if value is not None
    }


async def _ask(engine: EngineSession, arguments: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return as many hits as are asked for, from as many answers as that takes."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while len(found) < limit and page.get("next_cursor", "") is not None:
        cursor = {"cursor": page["next_cursor"]} if page else {}
        page = await engine.call("query_memory", {**arguments, **cursor, "limit": limit - len(found)})
        found += page["memories"]
    return {
        "memories": found,
        "total": page["total"],
        "has_more": page["next_cursor"] is not None,
        "confident": page["confident"],
        "degraded": page["degraded"],
    }
