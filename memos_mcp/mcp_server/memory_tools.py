"""The memory tools: `store_memory` and `query_memory`."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import (
    DEFAULT_IMPORTANCE,
    DEFAULT_KIND,
    MemoryFilter,
    MemoryKind,
    MemoryPage,
    MemoryQuery,
    NewMemory,
)
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.memory_results import FoundMemories, StoredMemory, found_memory, named, similar_memory
from memos_mcp.mcp_server.response_budget import CHARS_PER_TOKEN, DEFAULT_CHARS, MAX_TOKENS, MIN_TOKENS, fit_memories
from memos_mcp.mcp_server.tool_definition import READS, Effects, StrictArguments, Strings, ToolDefinition, whole

_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d([.]\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def _time(value: object) -> object:
    """Parse RFC 3339. A time without a zone passes; the domain refuses it."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromisoformat(value.upper())
    raise ValueError


def _memory_id(value: object) -> object:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise ValueError


Time = Annotated[datetime, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]
MemoryId = Annotated[UUID, BeforeValidator(_memory_id), WithJsonSchema({"type": "string", "format": "uuid"})]
Unit = Annotated[float, Field(ge=0, le=1)]
TokenBudget = Annotated[int, Field(ge=1, le=MAX_TOKENS), BeforeValidator(whole)]

MAX_READ: Final = 100

_READ_WITH: Final = {"memory_ids", "offset", "max_tokens", "cursor", "as_of", "include_superseded"}
"""The arguments that a read by ids takes."""

_MAX_TOKENS = f"Size of the answer, at least {MIN_TOKENS}; default {DEFAULT_CHARS // CHARS_PER_TOKEN}."


class StoreMemory(StrictArguments):
    """The arguments of `store_memory`."""

    content: Annotated[str, Field(description="Up to 256 KiB.")]
    kind: Annotated[
        MemoryKind,
        Field(description="episodic: an event. semantic: a fact. procedural: how to. document: a longer text."),
    ] = DEFAULT_KIND
    tags: Strings = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    importance: Unit = DEFAULT_IMPORTANCE
    session_id: Annotated[str | None, Field(description="Its conversation.")] = None
    occurred_at: Annotated[Time | None, Field(description="When it happened; default now.")] = None
    expires_at: Annotated[Time | None, Field(description="Hidden after this time.")] = None
    supersedes: Annotated[MemoryId | None, Field(description="What it replaces.")] = None

    def new_memory(self) -> NewMemory:
        """Return the memory with what was given."""
        return NewMemory(**{name: getattr(self, name) for name in self.model_fields_set})


class Question(StrictArguments):
    """What a query asks for."""

    query: Annotated[str | None, Field(description="In words. Leave out to list, newest first.")] = None
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] = 10


class Conditions(StrictArguments):
    """The conditions that a memory must satisfy together."""

    kind: MemoryKind | None = None
    tags: Annotated[Strings | None, Field(description="Must have all.")] = None
    metadata: Annotated[dict[str, Any] | None, Field(description="Must contain this.")] = None
    session_id: str | None = None
    agent_id: Annotated[str | None, Field(description="Stored by this agent.")] = None
    since: Annotated[Time | None, Field(description="occurred_at from here.")] = None
    until: Annotated[Time | None, Field(description="occurred_at up to here.")] = None

    def wanted(self) -> MemoryFilter:
        """Return them as the filter of a query."""
        return MemoryFilter(**{name: getattr(self, name) for name in Conditions.model_fields})


class QueryMemory(Conditions, Question):  # pydantic lists the fields of the last class first
    """The arguments of `query_memory`."""

    as_of: Annotated[Time | None, Field(description="What was known then.")] = None
    include_superseded: Annotated[bool, Field(description="With earlier versions.")] = False
    half_life_days: Annotated[float | None, Field(gt=0, description="Prefer the recent: halves a score per age.")] = (
        None
    )
    min_score: Unit | None = None
    max_tokens: Annotated[TokenBudget | None, Field(description=_MAX_TOKENS)] = None
    cursor: Annotated[str | None, Field(description="next_cursor of the same call.")] = None
    memory_ids: Annotated[
        list[MemoryId] | None,
        Field(min_length=1, max_length=MAX_READ, description="Read these."),
    ] = None
    offset: Annotated[
        int | None,
        Field(ge=0, description="Read one long memory on from its excerpt's end."),
        BeforeValidator(whole),
    ] = None

    def asked(self) -> MemoryQuery:
        """Return what is asked for."""
        return MemoryQuery(
            self.query,
            self.wanted(),
            self.limit,
            self.min_score,
            self.cursor,
            self.as_of,
            self.include_superseded,
            self.half_life_days,
        )


async def store_memory(app: App, scope: Scope, arguments: StoreMemory) -> StoredMemory:
    """Store one memory in the connection's scope."""
    stored = await app.memories.store(scope, arguments.new_memory())
    result: StoredMemory = {
        "memory_id": str(stored.memory_id),
        "created": stored.created,
        "indexed": stored.indexed,
        "namespace": scope.namespace,
        "agent_id": scope.agent_id,
    }
    if stored.similar:
        result["similar"] = [similar_memory(one) for one in stored.similar]
    return {**result, "merged": True} if stored.merged else result


async def query_memory(app: App, scope: Scope, arguments: QueryMemory) -> Mapping[str, Any]:
    """Search, list or read memories, as many as fit the answer's size."""
    if arguments.memory_ids is not None or arguments.offset is not None:
        return await _read(app, scope, arguments)
    page = await app.memories.query(scope, arguments.asked())
    return fit_memories(page, [found_memory(hit) for hit in page.hits], _size_limit(arguments.max_tokens))


async def _read(app: App, scope: Scope, arguments: QueryMemory) -> Mapping[str, Any]:
    others = sorted(arguments.model_fields_set - _READ_WITH)
    if arguments.memory_ids is None or (arguments.offset is not None and len(set(arguments.memory_ids)) > 1):
        raise Invalid("offset reads on in one memory: give its memory_id, and no other, in memory_ids.")
    if others:
        raise Invalid(f"memory_ids reads exactly these memories, without a search. Leave out: {', '.join(others)}.")
    page = await app.memories.read(scope, arguments.memory_ids, arguments.asked())
    found, limit = [found_memory(hit) for hit in page.hits], _size_limit(arguments.max_tokens)
    if arguments.offset and found:
        return _read_on(page, found[0], arguments.offset, limit)
    answer = fit_memories(page, found, limit)
    return answer | ({"note": f"{not_here(page.missing)} {answer.get('note', '')}".rstrip()} if page.missing else {})


def _read_on(page: MemoryPage, memory: dict[str, Any], offset: int, limit: int) -> dict[str, Any]:
    """Return what follows in a memory, with the excerpt in characters of the whole content."""
    length = len(memory["content"])
    if offset >= length:
        raise Invalid(f"offset is beyond the end: this memory has {length:,} characters.")
    rest = {
        **memory,
        "content": memory["content"][offset:],
        "excerpt": {"start": offset, "end": length, "length": length},
    }
    answer = fit_memories(page, [rest], limit)
    shown = answer["memories"][0]
    if shown["content"] != rest["content"]:
        shown["excerpt"] = {"start": offset, "end": offset + len(shown["content"]), "length": length}
    return answer


def not_here(missing: Sequence[UUID]) -> str:
    """Return a sentence that names the memories that were asked for and are not live here."""
    return f"Not here: {named(missing)}: superseded, forgotten, expired, or of another namespace."


def _size_limit(max_tokens: int | None) -> int:
    """Return the size of the answer in characters, at least what one hit needs."""
    return DEFAULT_CHARS if max_tokens is None else max(max_tokens, MIN_TOKENS) * CHARS_PER_TOKEN


STORE_MEMORY: Final = ToolDefinition(
    name="store_memory",
    right="write",
    title="Store a memory",
    description=(
        "Keep what later conversations will need: a decision and why, a preference, fact, result or method. "
        "The same content is stored once, labels merged. "
        "indexed: false: safe, searchable soon. similar: near-duplicates; update or forget outdated ones."
    ),
    arguments=StoreMemory,
    result=StoredMemory,
    effects=Effects(destructive=False, idempotent=True),
    call=store_memory,
)

QUERY_MEMORY: Final = ToolDefinition(
    name="query_memory",
    right="read",
    title="Query the memory",
    description=(
        "Search before you answer what earlier work may have settled ('as I told you', 'have we done this before'), "
        "or ask the user again; not for general knowledge. Best first; long ones as excerpts. "
        "confident: false: nothing is near; null: unknown. degraded: the search was incomplete."
    ),
    arguments=QueryMemory,
    result=FoundMemories,
    effects=READS,
    call=query_memory,
)
